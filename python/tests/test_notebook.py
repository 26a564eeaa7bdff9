"""examples/quickstart.ipynb runs from its first cell to its last."""

import pytest

import inbetween
from inbetween import _declarations

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")
ROOT = _declarations.source_tree()


@pytest.mark.skipif(ROOT is None, reason="needs the source tree")
def test_quickstart(tmp_path, monkeypatch):
    monkeypatch.delenv("MPLBACKEND", raising=False)  # the kernel shows pictures by its own
    notebook = nbformat.read(ROOT / "examples" / "quickstart.ipynb", as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert not any(cell.outputs for cell in code)  # as it lies in the tree
    nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}).execute()
    kinds = [{kind for output in cell.outputs for kind in output.get("data", {})} for cell in code]
    assert "image/png" in kinds[2] and "image/png" in kinds[-1]  # the frames and the chart
    assert "prior" in code[-1].outputs[0]["data"]["text/plain"]
    made = tmp_path / "quickstart"
    assert len(inbetween.encode(made / "clip.mp4", size=(128, 96))) == 9
    assert (made / "skill.png").stat().st_size > 1000 and (made / "run" / "adapter.safetensors").is_file()
