"""Films to work on: a textured picture that moves."""

import faulthandler

import numpy as np
import pytest

import inbetween

faulthandler.enable()


def moving(n, width=64, height=48, speed=1.5):
    """[n, H, W, 3] uint8"""
    y, x = np.mgrid[:height, :width].astype(float)
    frames = []
    for i in range(n):
        u = x - speed * i
        channels = [np.sin(u / 5) * np.cos(y / 7), np.sin((u + y) / 9), np.cos(u / 11)]
        frames.append(np.stack([120 + 80 * c for c in channels], axis=-1).astype(np.uint8))
    return np.stack(frames)


@pytest.fixture(scope="session")
def films(tmp_path_factory):
    """Three films of 24 frames."""
    folder = tmp_path_factory.mktemp("films")
    paths = [folder / f"{name}.mp4" for name in "abc"]
    for path, speed in zip(paths, (1.0, 2.0, -1.5)):
        assert inbetween.write_film(path, moving(24, speed=speed), fps=12) == 24
    return paths


@pytest.fixture(scope="session")
def encoded(films, tmp_path_factory):
    """Their latent files, 48 x 32."""
    folder = tmp_path_factory.mktemp("latents")
    for film in films:
        inbetween.encode_file(film, folder / f"{film.stem}.h5", size=(48, 32))
    return folder
