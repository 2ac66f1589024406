"""Runs a .tflite on given inputs and stores the output; the same file on x86 and on emulated Arm.

Only numpy and LiteRT: an emulated userland has nothing else.
"""

import platform
import sys

import numpy as np
from ai_edge_litert.interpreter import Interpreter


def main(model: str, inputs: str, output: str) -> None:
    interpreter = Interpreter(model_path=model, num_threads=1)
    interpreter.allocate_tensors()
    arrays = np.load(inputs)
    for detail, name in zip(interpreter.get_input_details(), sorted(arrays.files), strict=True):
        interpreter.set_tensor(detail["index"], arrays[name])
    interpreter.invoke()
    found = [interpreter.get_tensor(each["index"]) for each in interpreter.get_output_details()]
    np.savez(output, *found)
    print(platform.machine())


if __name__ == "__main__":
    main(*sys.argv[1:])
