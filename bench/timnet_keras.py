"""An epoch of TIM-Net in Keras, as its authors trained it: the peer of `bench/timnet_epoch.py`.

TensorFlow has an environment of its own:

    python3 -m venv peer && peer/bin/pip install tensorflow-cpu tf-keras
    peer/bin/python bench/timnet_keras.py

Written from the paper's description with the layers of Keras 2, which the authors used: 480 clips
of 188 x 39 in batches of 64, Adam, a compiled step. The quickest of five epochs counts, after two
that trace: CPU seconds with one thread, and seconds on the clock with two.
"""

from __future__ import annotations

import subprocess
import sys
import time

CLIPS, FRAMES, COLUMNS, CLASSES, BATCH = 480, 188, 39, 7, 64


def network():
    """TIM-Net: eight gated blocks in each direction, the scales weighted."""
    import tf_keras as keras

    layers = keras.layers

    class Scales(layers.Layer):
        """The weighted sum of (batch, 39, 8) over its last axis."""

        def build(self, shape: tuple[int, ...]) -> None:
            self.weights_of_scales = self.add_weight(name="w", shape=(shape[-1], 1))

        def call(self, x):
            return keras.backend.squeeze(keras.backend.dot(x, self.weights_of_scales), -1)

    def half(h, dilation: int):
        h = layers.Conv1D(39, 2, dilation_rate=dilation, padding="causal")(h)
        h = layers.Activation("relu")(layers.BatchNormalization()(h))
        return layers.SpatialDropout1D(0.1)(h)

    x = layers.Input((FRAMES, COLUMNS))
    forward = layers.Conv1D(39, 1)(x)
    backward = layers.Conv1D(39, 1)(layers.Lambda(lambda t: t[:, ::-1])(x))
    scales = []
    for j in range(8):
        forward = layers.Multiply()(
            [forward, layers.Activation("sigmoid")(half(half(forward, 2**j), 2**j))]
        )
        backward = layers.Multiply()(
            [backward, layers.Activation("sigmoid")(half(half(backward, 2**j), 2**j))]
        )
        both = layers.Add()([forward, backward])
        scales.append(layers.Reshape((39, 1))(layers.GlobalAveragePooling1D()(both)))
    g = Scales()(layers.Concatenate(axis=-1)(scales))
    model = keras.Model(x, layers.Dense(CLASSES, activation="softmax")(g))
    model.compile(
        loss=keras.losses.CategoricalCrossentropy(label_smoothing=0.1),
        optimizer=keras.optimizers.Adam(1e-3, beta_1=0.93, beta_2=0.98, epsilon=1e-8),
    )
    return model


def measure(threads: int) -> None:
    """Print an epoch's CPU seconds and its seconds on the clock."""
    import numpy as np
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    x = np.random.default_rng(0).standard_normal((CLIPS, FRAMES, COLUMNS), np.float32)
    y = np.eye(CLASSES, dtype=np.float32)[np.arange(CLIPS) % CLASSES]
    model = network()
    best = [float("inf")] * 2
    for turn in range(7):
        before = time.process_time(), time.perf_counter()
        model.fit(x, y, batch_size=BATCH, verbose=0)
        took = time.process_time() - before[0], time.perf_counter() - before[1]
        if turn > 1:
            best = [min(old, new) for old, new in zip(best, took, strict=True)]
    print(
        f"Keras, threads {threads}: {best[0]:.2f} CPU s, {best[1]:.2f} s on the clock an epoch "
        f"({model.count_params()} parameters, tensorflow {tf.__version__})"
    )


if __name__ == "__main__":
    if len(sys.argv) > 1:
        measure(int(sys.argv[1]))
    else:  # a process each: the number of threads is set once
        for threads in ("1", "2"):
            subprocess.run([sys.executable, __file__, threads], check=True)
