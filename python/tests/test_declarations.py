"""The declarations that cffi reads are those of the headers."""

import re

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
