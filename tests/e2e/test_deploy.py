"""The files of deploy/, as the linters of their makers' communities read them: no engine runs here that could."""

import pathlib
import subprocess
import sys

import pytest
from conftest import ROOT

DEPLOY = ROOT / "deploy"


def lint(program, *arguments):
    """What a linter of the virtual environment has to say; nothing where all is well."""
    done = subprocess.run(
        [pathlib.Path(sys.executable).with_name(program), *map(str, arguments)], capture_output=True, text=True, timeout=60
    )
    return "" if done.returncode == 0 else done.stdout + done.stderr


def hadolint(path):
    return lint("hadolint", "--no-color", "--failure-threshold", "style", path)


@pytest.mark.parametrize("version", ["1.31", "1.37"])
@pytest.mark.parametrize("path", sorted((DEPLOY / "kubernetes").glob("*.yaml")), ids=lambda path: path.name)
def test_kubernetes_takes_the_manifests(path, version):
    assert not lint("kubernetes-validate", "--strict", "-k", version, path)


def test_a_manifest_with_a_mistake_is_found(tmp_path):
    manifest = tmp_path / "bookend.yaml"
    manifest.write_text((DEPLOY / "kubernetes" / "bookend.yaml").read_text().replace("readinessProbe", "readynessProbe"))
    assert "readynessProbe" in lint("kubernetes-validate", "--strict", manifest)


def test_the_image_is_built_as_it_should_be(tmp_path):
    dockerfile = DEPLOY / "Dockerfile"
    assert not hadolint(dockerfile)
    without_pins = tmp_path / "Dockerfile"
    without_pins.write_text(dockerfile.read_text().replace("rust:1.95-bookworm", "rust:latest"))
    assert "DL3007" in hadolint(without_pins)
