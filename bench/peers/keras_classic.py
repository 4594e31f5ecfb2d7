"""The 2018 network at 64 px in Keras on TensorFlow: time of a whole training step (two persons, L1,
Adam), as the scripts of that year had it, in today's version.

keras_classic.py BATCH f32|bf16 ROUNDS

Prints one JSON object: seconds of every round, the first two steps left out. The step is compiled
into a graph; `bf16` is Keras's `mixed_bfloat16`. Run it by `compare.py`.
"""
import json
import os
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ["KERAS_BACKEND"] = "tensorflow"
import keras
import numpy
import tensorflow as tf
from keras import layers

batch, precision, rounds = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
keras.utils.set_random_seed(0)
if precision == "bf16":
    keras.mixed_precision.set_global_policy("mixed_bfloat16")


def down(x, outputs):
    x = layers.Conv2D(outputs, 5, 2, padding="same")(x)
    return layers.LeakyReLU(negative_slope=0.1)(x)


class Shuffle(layers.Layer):
    def call(self, x):
        return tf.nn.depth_to_space(x, 2)


def up(x, outputs):
    x = layers.Conv2D(4 * outputs, 3, padding="same")(x)
    return Shuffle()(layers.LeakyReLU(negative_slope=0.1)(x))


def encoder():
    x = seen = keras.Input((64, 64, 3))
    for outputs in (128, 256, 512, 1024):
        x = down(x, outputs)
    x = layers.Dense(16384)(layers.Dense(1024)(layers.Flatten()(x)))
    return keras.Model(seen, up(layers.Reshape((4, 4, 1024))(x), 512))


def decoder():
    x = code = keras.Input((8, 8, 512))
    for outputs in (256, 128, 64):
        x = up(x, outputs)
    drawn = layers.Conv2D(3, 5, padding="same", activation="sigmoid", dtype="float32")(x)
    return keras.Model(code, drawn)


shared, decoders = encoder(), [decoder(), decoder()]
optimisers = [keras.optimizers.Adam(5e-5, beta_1=0.5, beta_2=0.999) for _ in decoders]
rng = numpy.random.default_rng(0)
faces, wanted = (tf.constant(rng.random((batch, 64, 64, 3), numpy.float32)) for _ in range(2))
for d, optimiser in zip(decoders, optimisers):
    optimiser.build(shared.trainable_variables + d.trainable_variables)


@tf.function
def step():
    for d, optimiser in zip(decoders, optimisers):
        variables = shared.trainable_variables + d.trainable_variables
        with tf.GradientTape() as tape:
            drawn = d(shared(faces, training=True), training=True)
            loss = tf.reduce_mean(tf.abs(drawn - wanted))
        optimiser.apply(tape.gradient(loss, variables), variables)
    return loss


for _ in range(2):
    step().numpy()
secs = []
for _ in range(rounds):
    begun = time.perf_counter()
    step().numpy()
    secs.append(time.perf_counter() - begun)
what = f"Keras {keras.__version__} on TensorFlow {tf.__version__}"
print(json.dumps({"what": what, "secs": secs}))
