"""The declarations that cffi reads are those of the headers."""

import re
import shutil
import subprocess

import pytest

from inbetween import _declarations
from inbetween._library import ffi, lib

ROOT = _declarations.source_tree()


@pytest.mark.skipif(ROOT is None, reason="not in the source tree")
def test_every_function_of_the_headers_is_there():
    names = set()
    for header in _declarations.header_names(ROOT):
        text = (ROOT / header).read_text()
        names |= set(re.findall(r"IB_API [^();{]*?\b(ib_\w+)\(", text))
    assert len(names) > 150
    for name in sorted(names):
        assert hasattr(lib, name), name


def test_constants_are_there():
    assert lib.IB_E_INTERRUPTED == -9 and lib.IB_PATCH_D == 96 and lib.IB_GUIDE_FEATURES == 8
    assert ffi.sizeof("ib_error") == 4 + 1024


def test_attributes_and_comments_go():
    text = '/* a; */\n#ifdef __cplusplus\nextern "C" {\n#endif\n#define IB_X 3\n#define IB_Y(a) \\\n  a\nIB_API int ib_f(void);\n'
    assert _declarations.declarations_of(text).split() == "#define IB_X 3 int ib_f(void);".split()


@pytest.mark.skipif(ROOT is None or not shutil.which("cc"), reason="needs the source tree and a C compiler")
def test_structs_lie_as_the_compiler_lays_them(tmp_path):
    structs = [name for name in ffi.list_types()[0] if name.startswith("ib_") and ffi.typeof(name).kind == "struct"]
    ours, lines = [], []
    for name in structs:
        fields = ffi.typeof(name).fields
        if fields is None:  # opaque
            continue
        ours.append(ffi.sizeof(name))
        lines.append(f'printf("%zu\\n", sizeof({name}));')
        for field, _ in fields:
            ours.append(ffi.offsetof(name, field))
            lines.append(f'printf("%zu\\n", offsetof({name}, {field}));')
    includes = "".join(f'#include "{header}"\n' for header in _declarations.header_names(ROOT))
    (tmp_path / "lie.c").write_text(f"{includes}#include <stddef.h>\n#include <stdio.h>\nint main(void) {{ {' '.join(lines)} }}\n")
    subprocess.run(["cc", f"-I{ROOT}", "-o", tmp_path / "lie", tmp_path / "lie.c"], check=True)
    theirs = subprocess.run([tmp_path / "lie"], check=True, capture_output=True, text=True).stdout
    assert len(ours) > 300
    assert ours == [int(line) for line in theirs.split()]
