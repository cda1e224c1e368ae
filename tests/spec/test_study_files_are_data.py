"""A study file is data: reading it runs nothing, whatever its YAML says."""

import pytest

from lrsearch.errors import SpecError
from lrsearch.user_input import read_yaml


@pytest.mark.parametrize(
    "value",
    [
        "!!python/object/apply:os.system ['touch sprung']",
        "!!python/object/new:subprocess.Popen [['touch', 'sprung']]",
        "!!python/name:os.system",
        "!!python/module:os",
    ],
)
def test_yaml_makes_no_objects(tmp_path, monkeypatch, value):
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "study.yaml"
    file.write_text(f"name: {value}\n")
    with pytest.raises(SpecError, match="could not determine a constructor") as error:
        read_yaml(file, "study file")
    assert "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == [file]
