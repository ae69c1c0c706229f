"""Rule files, and what rules do to a model."""

from bridge.findings.kind import error, info, warning

KINDS = (
    error(
        "rule-file",
        "A rule file cannot be used.",
        cause="It is not TOML, has an unknown key or a wrong value, or there is no such file or pack.",
        example="error: mine.toml:4: rules.0.match.kind: unknown kind 'op_typ', did you mean 'op_type'?",
        cure="Mend the line. `bridge rules schema` prints a schema for editors, `bridge rules check` says all faults.",
    ),
    error(
        "rule-matches-nothing",
        "A rule fits no node of the model.",
        cause="A name or pattern is misspelt, or the rule was written for another model.",
        example="error: mine.toml:4: rule 'first-conv' matches no node: did you mean 'conv1/Conv'?",
        cure="`bridge rules explain MODEL` shows the names and near misses. `optional = true` allows a rule to match nothing.",
        also=("info",),
    ),
    error(
        "rule-impossible",
        "A rule asks for what cannot be done.",
        cause="The precision, range or replacement does not fit the node.",
        example="error: mine.toml:9: rule 'fixed': range 0 .. 0 has no width",
        cure="Mend the rule as the message says.",
    ),
    warning(
        "rule-unknown-operator",
        "A rule names an operator that ONNX does not have.",
        cause="It is misspelt, or a custom operator.",
        example="warning: mine.toml:4: rule 'norms': ONNX has no operator 'LayerNorm', did you mean 'LayerNormalization'?",
        cure="Correct the name; for a custom operator add a condition of kind 'domain'.",
    ),
    warning(
        "rule-unreachable",
        "Another rule always decides in its place.",
        cause="Later rules win, and a later one takes all nodes that this one takes.",
        example="warning: mine.toml:4: rule 'conv1' never decides: rule 'all-conv' (line 9) holds for all its nodes.",
        cure="Write general rules first, special ones behind them.",
        also=("info",),
    ),
    warning(
        "replacement-not-done",
        "A rule replaces a function that was not found as a whole.",
        cause="The pattern takes what is no tensor of the graph, or a part of it is used elsewhere.",
        example="warning: Rule 'gelu' (mine.toml:4) replaces 'act' by hard_gelu, but no whole function was found there.",
        cure="These nodes stay as they are; see docs/replacements.md.",
    ),
    info(
        "replacement-not-defined",
        "A rule replaces an activation by one that is not defined for the node.",
        cause="It takes nodes that are no activation.",
        example="info: mine.toml:4: rule 'relu': 'add' is no activation; these nodes stay as they are.",
        cure="Narrow the rule.",
    ),
    warning(
        "replacement-stays-float",
        "One rule replaces a function so that it can be an integer operator, another one keeps it float.",
        cause="The default pack keeps GELU and others float.",
        example="warning: Rule 'cheap-gelu' replaces 'act' by relu, but rule 'gelu-float' keeps them float.",
        cure='Write `precision = "static_wi8_ai8"` into the rule that replaces.',
    ),
    warning(
        "clip-without-effect",
        "A rule clips a range, and the operator stayed float.",
        cause="A range does something only where values are integers.",
        example="warning: Rule 'clip' (mine.toml:4) clips 'y' to -6 .. 6, but its operator stayed float, where ranges do nothing.",
        cure="Give the node the precision float32 in the rule: then the file gets a real clip.",
    ),
    info(
        "range-of-integers",
        "A rule sets the range of what is no float tensor.",
        cause="The node writes indices or booleans.",
        example="info: mine.toml:4: rule 'range': 'argmax' writes int64; a range does nothing there.",
        cure="Narrow the rule.",
    ),
    warning(
        "range-without-tensor",
        "A rule sets the range of a tensor that the file does not have.",
        cause="The operator behind took it in (an activation into its convolution), or it was folded.",
        example="warning: Rule 'r' (mine.toml:4) chooses the range of what 'conv1' writes, which does not exist in the TFLite file.",
        cure="Name the node whose output is left: the activation behind the convolution.",
    ),
)
