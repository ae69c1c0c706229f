"""Pruned and clustered weights in torch modules and Keras 3 models, and what keeps them so while the model is trained.

    bridge.compress.prune(model, 0.5)
    kept = bridge.compress.cluster(model, 16)            # zeros stay a cluster of their own
    optimizer.register_step_post_hook(kept.project)      # torch
    model.fit(..., callbacks=[keras.callbacks.LambdaCallback(on_train_batch_end=kept.project)])  # Keras

Batch normalization that the converter folds into clustered weights multiplies each channel: they keep their number of values per channel. Fold it
before (`torch.nn.utils.fusion.fuse_conv_bn_eval`) to keep it per tensor.
"""

from bridge.compress.compress import Kept, cluster, keep, prune
from bridge.compress.kmeans import centroids

__all__ = ["Kept", "centroids", "cluster", "keep", "prune"]
