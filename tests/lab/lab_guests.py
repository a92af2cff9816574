"""The laboratory's own guests: each .asm beside this file, assembled where a test wants it."""

import pathlib
import subprocess

HERE = pathlib.Path(__file__).parent


def assemble(source, folder):
    image = pathlib.Path(folder) / (source + ".bin")
    subprocess.run(["nasm", "-f", "bin", "-Werror", "-I", f"{HERE}/", "-o", str(image),
                    str(HERE / (source + ".asm"))], check=True)
    return image
