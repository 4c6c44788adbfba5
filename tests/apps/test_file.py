"""`File`: every form a file comes in, and what is left behind when it does not come."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Annotated, Any, Optional
from urllib.parse import urlsplit

import pytest
from pydantic import BaseModel, Field, ValidationError

from agentkit.apps import BaseAppInput, File, ResolvedFile, resolving
from agentkit.apps.resolved import writing_files
from agentkit.errors import AppError, FileError
from tests.apps.loopback import Site

PNG = b"\x89PNG\r\n\x1a\n" + b"\x00" * 16


@pytest.fixture
def note(tmp_path: Path) -> Path:
    path = tmp_path / "note.txt"
    path.write_text("hello")
    return path


def left_in(cache: Path) -> list[str]:
    return [str(path.relative_to(cache)) for path in cache.rglob("*")] if cache.exists() else []


# -- local ---------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("app:file-model")
def test_every_way_to_name_a_local_file_means_the_same_file(note: Path) -> None:
    forms: list[File] = [
        File(path=str(note)),
        File(path=note),
        File(str(note)),
        File(note),
        File(uri=str(note)),
        File(note.as_uri()),
        File({"path": str(note)}),
        File({"uri": str(note)}),
        File(File(note)),
        File.from_path(note),
        File.from_path(str(note)),
    ]
    expected = {"path": str(note), "content_type": "text/plain", "size": 5, "filename": "note.txt"}
    assert [file.to_dict() for file in forms] == [expected] * len(forms)
    assert all(file.exists() for file in forms)


def test_what_the_author_says_of_a_file_counts_before_what_is_found(note: Path) -> None:
    file = File(path=str(note), content_type="image/png", filename="custom_name.png", size=1024)
    assert (file.content_type, file.filename, file.size) == ("image/png", "custom_name.png", 1024)


def test_refreshing_reads_a_changed_file_again(note: Path) -> None:
    file = File(path=note, content_type="image/png", filename="old")
    note.write_text("hello, world")
    file.refresh_metadata()
    assert (file.content_type, file.size, file.filename) == ("text/plain", 12, "note.txt")


def test_a_file_may_be_written_after_it_was_named(tmp_path: Path) -> None:
    file = File(path=tmp_path / "out.wav")
    assert not file.exists()
    assert file.to_dict() == {"path": str(tmp_path / "out.wav")}
    (tmp_path / "out.wav").write_bytes(b"RIFF")
    assert file.exists()
    assert file.to_dict()["size"] == 4
    assert file.size is None  # writing it down changes nothing


def test_a_file_opens_like_a_path(note: Path) -> None:
    with open(File(note)) as opened:
        assert opened.read() == "hello"


def test_a_relative_path_is_of_the_folder_the_file_was_named_in(note: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(note.parent)
    file = File("note.txt")
    monkeypatch.chdir("/")
    assert file.exists()


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("a", PNG, "image/png"),
        ("a", b"\xff\xd8\xff\xe0", "image/jpeg"),
        ("a", b"RIFF\x00\x00\x00\x00WEBPVP8 ", "image/webp"),
        ("a", b"\x00\x00\x00\x18ftypmp42", "video/mp4"),
        ("a", "grüße".encode(), "text/plain"),
        ("a", b"\x00\x01\x02", "application/octet-stream"),
        ("a", b"", "application/octet-stream"),
        ("a.json", b"{}", "application/json"),
        ("a.docx", b"PK\x03\x04", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
        ("A.JPG", b"", "image/jpeg"),
    ],
)
def test_the_content_type_is_told_by_the_name_else_by_the_bytes(
    tmp_path: Path, name: str, content: bytes, kind: str
) -> None:
    (tmp_path / name).write_bytes(content)
    assert File(tmp_path / name).content_type == kind


# -- URLs ----------------------------------------------------------------------------------------------------------


def test_a_url_is_downloaded_once_to_its_place_in_the_cache(site: Site, cache: Path) -> None:
    site.files["/pics/cat.png"] = PNG
    url = f"{site.url}/pics/cat.png?size=2"
    file = File(url)
    address = urlsplit(url)
    digest = hashlib.sha256(f"{address.netloc}/pics/cat.png?size=2".encode()).hexdigest()[:12]
    assert file.path == str(cache / digest / "cat.png")
    assert Path(file.path or "").read_bytes() == PNG
    assert (file.uri, file.content_type, file.size, file.filename) == (url, "image/png", len(PNG), "cat.png")
    assert File(url).path == file.path
    assert len(site.asked) == 1
    assert left_in(cache) == [digest, f"{digest}/cat.png"]


def test_urls_that_differ_in_path_or_query_do_not_share_a_file(site: Site) -> None:
    site.files.update({"/a/x.bin": b"a", "/b/x.bin": b"b"})
    paths = {File(f"{site.url}{path}").path for path in ("/a/x.bin", "/b/x.bin", "/a/x.bin?v=1")}
    assert len(paths) == 3


def test_a_url_without_a_usable_name_still_has_one(site: Site, cache: Path) -> None:
    site.files.update({"/": b"root", "/%2e%2e%2fetc%2fpasswd": b"odd", "/" + "n" * 400 + ".txt": b"long"})
    names = [File(f"{site.url}{path}").filename for path in site.files]
    assert names[0] == "download"
    assert "/" not in (names[1] or "") and ".." not in (names[1] or "")
    assert len(names[2] or "") <= 120 and (names[2] or "").endswith(".txt")
    assert all(path.resolve().is_relative_to(cache.resolve()) for path in cache.rglob("*"))


def _breaks_off(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b"only this")
    handler.close_connection = True


def test_a_broken_download_leaves_nothing_in_the_cache_and_names_the_url(site: Site, cache: Path) -> None:
    site.handlers["/cut.bin"] = _breaks_off
    with pytest.raises(FileError, match=r"cannot download .*/cut\.bin"):
        File(f"{site.url}/cut.bin")
    assert left_in(cache) == []
    assert len(site.asked) == 3


def test_a_download_that_breaks_once_is_fetched_again(site: Site) -> None:
    def flaky(handler: BaseHTTPRequestHandler) -> None:
        if len(site.asked) == 1:
            _breaks_off(handler)
        else:
            handler.send_response(200)
            handler.send_header("Content-Length", "5")
            handler.end_headers()
            handler.wfile.write(b"whole")

    site.handlers["/flaky.txt"] = flaky
    assert Path(File(f"{site.url}/flaky.txt")).read_text() == "whole"


def test_a_missing_url_is_an_error_at_once_that_shows_no_signature(site: Site, cache: Path) -> None:
    with pytest.raises(FileError, match="HTTP 404") as caught:
        File(f"{site.url}/nowhere.png?sig=secret")
    assert "secret" not in str(caught.value) and "/nowhere.png" in str(caught.value)
    assert len(site.asked) == 1
    assert left_in(cache) == []


def test_nobody_there_is_an_error_with_the_url(cache: Path) -> None:
    with pytest.raises(FileError, match=r"cannot download 'http://127\.0\.0\.1:1/x'"):
        File("http://127.0.0.1:1/x")
    assert left_in(cache) == []


def test_a_cache_that_cannot_be_written_says_so(site: Site, cache: Path) -> None:
    site.files["/a.txt"] = b"a"
    cache.write_text("a file where the folder should be")
    with pytest.raises(FileError, match="cannot keep the download of"):
        File(f"{site.url}/a.txt")


@pytest.mark.parametrize("bad", ["http://", "https://[::1", "http:///x"])
def test_what_is_no_url_is_an_error(bad: str) -> None:
    with pytest.raises(FileError, match="cannot download"):
        File(bad)


def test_two_threads_that_want_one_url_both_get_it_whole(site: Site, cache: Path) -> None:
    together = threading.Barrier(2, timeout=10)

    def both_at_once(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "200000")
        handler.end_headers()
        handler.wfile.write(b"x" * 100_000)
        together.wait()
        handler.wfile.write(b"y" * 100_000)

    site.handlers["/big.bin"] = both_at_once
    sizes = list[int]()
    threads = [threading.Thread(target=lambda: sizes.append(File(f"{site.url}/big.bin").size or 0)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(15)
    assert sizes == [200_000, 200_000]
    assert len(left_in(cache)) == 2  # its folder and it


def test_a_process_killed_while_it_downloads_leaves_no_file_that_looks_whole(site: Site, cache: Path) -> None:
    half_sent, may_end = threading.Event(), threading.Event()

    def slow(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "200000")
        handler.end_headers()
        handler.wfile.write(b"x" * 100_000)
        half_sent.set()
        if len(site.asked) == 1:
            may_end.wait(15)
        with suppress(OSError):  # the first asker is gone by now
            handler.wfile.write(b"y" * 100_000)

    site.handlers["/big.bin"] = slow
    url = f"{site.url}/big.bin"
    process = subprocess.Popen([sys.executable, "-c", f"from agentkit.apps import File; File({url!r})"])
    try:
        assert half_sent.wait(15)
    finally:
        process.kill()
        process.wait(15)
        may_end.set()
    assert not [path for path in cache.rglob("big.bin")]
    assert File(url).size == 200_000


def test_a_file_with_bytes_here_is_not_downloaded(note: Path, site: Site) -> None:
    file = File({"uri": f"{site.url}/elsewhere.txt", "path": str(note)})
    assert (file.path, file.uri, site.asked) == (str(note), f"{site.url}/elsewhere.txt", [])


def test_bytes_on_another_machine_are_fetched_by_uri(site: Site) -> None:
    site.files["/a.txt"] = b"here"
    file = File({"uri": f"{site.url}/a.txt", "path": "/of/another/machine.txt"})
    assert Path(file).read_text() == "here"


# -- data URIs -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("uri", "content", "kind", "name"),
    [
        ("data:text/plain;base64,SGVsbG8=", b"Hello", "text/plain", "file.txt"),
        ("data:text/plain;base64,SGVsbG8", b"Hello", "text/plain", "file.txt"),
        ("data:,Hello%2C%20World", b"Hello, World", "text/plain", "file.txt"),
        ("data:;base64,SGVsbG8=", b"Hello", "text/plain", "file.txt"),
        ("data:text/html;charset=utf-8,%3Cb%3E", b"<b>", "text/html", "file.html"),
        ("data:image/png;name=cat%20one.png;base64,iVBORw0K", PNG[:6], "image/png", "cat one.png"),
        ("data:application/octet-stream;base64,-_-_", b"\xfb\xff\xbf", "application/octet-stream", "file.bin"),
        ("data:application/octet-stream;base64,%2B%2F%2B%2F", b"\xfb\xff\xbf", "application/octet-stream", "file.bin"),
        ("data:x/unheard-of,a", b"a", "x/unheard-of", "file"),
        ("DATA:IMAGE/JPEG;BASE64,/9j/", b"\xff\xd8\xff", "image/jpeg", "file.jpg"),
        ("data:text/plain;base64,SGVs\nbG8=", b"Hello", "text/plain", "file.txt"),
        ("data:text/plain,", b"", "text/plain", "file.txt"),
    ],
)
@pytest.mark.requirement("app:file-model")
def test_a_data_uri_is_the_file_it_holds(uri: str, content: bytes, kind: str, name: str) -> None:
    file = File(uri)
    assert Path(file).read_bytes() == content
    assert (file.uri, file.content_type, file.filename, file.size) == (uri, kind, name, len(content))


def test_data_uris_of_the_same_name_do_not_overwrite_each_other() -> None:
    one, two = File("data:text/plain,one"), File("data:text/plain,two")
    assert (Path(one).read_text(), Path(two).read_text()) == ("one", "two")


@pytest.mark.parametrize("bad", ["data:text/plain", "data:;base64,####", "data:;base64,A"])
def test_a_data_uri_that_is_none_is_an_error(bad: str, cache: Path) -> None:
    with pytest.raises(FileError, match=r"data URI|base64"):
        File(bad)
    assert left_in(cache) == []


# -- what is refused -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "says"),
    [
        (None, "needs a 'uri' or a 'path'"),
        ("", "needs a 'uri' or a 'path'"),
        ({}, "needs a 'uri' or a 'path'"),
        ({"size": 3}, "needs a 'uri' or a 'path'"),
        (7, "not int"),
        ({"uri": 7}, "'uri' of a file is text, not int"),
        ({"path": "/x", "size": "big"}, "'size' of a file is a number, not str"),
        ("s3://bucket/key", "s3:// is unknown"),
        ("inf://files/f1/cat.png", "only the runtime of a task can fetch"),
        ("file://elsewhere/etc/hosts", "on another machine"),
    ],
)
def test_what_names_no_file_is_an_error_that_says_why(source: Any, says: str) -> None:
    with pytest.raises(FileError, match=says) as caught:
        File(source)
    assert isinstance(caught.value, ValueError) and isinstance(caught.value, AppError)


# -- resolved by the runtime ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("uri", ["inf://files/f1/cat.png", "https://storage.example/cat.png?sig=1"])
def test_a_uri_that_the_runtime_fetched_is_found_there_and_kept(uri: str, note: Path) -> None:
    with resolving({uri: ResolvedFile(str(note), content_type="image/png", filename="cat.png")}):
        file = File(uri)
    assert file.to_dict() == {
        "uri": uri,
        "path": str(note),
        "content_type": "image/png",
        "size": 5,
        "filename": "cat.png",
    }
    with pytest.raises(FileError), resolving({}):
        File("inf://files/f1/cat.png")


def test_a_closed_resolver_lets_a_task_reach_nothing_else(note: Path, site: Site) -> None:
    uri = "inf://files/f1/a.txt"
    refused: list[Any] = [
        str(note),
        note.as_uri(),
        note,
        {"path": str(note)},
        {"uri": "inf://files/f2/b.txt", "path": str(note)},
        f"{site.url}/internal",
    ]
    with resolving({uri: ResolvedFile(str(note))}, is_closed=True):
        for source in refused:
            with pytest.raises(FileError, match="was not made available to this task"):
                File(source)
        assert File({"uri": uri, "path": "/etc/hostname"}).path == str(note)
        assert Path(File("data:,inline")).read_text() == "inline"
    assert site.asked == []
    assert File(note).exists()


# -- in models -----------------------------------------------------------------------------------------------------


class Nested(BaseAppInput):
    picture: File | None = None


class Form(BaseAppInput):
    image: File = Field(description="the picture", json_schema_extra={"contentMediaType": "image/*"})
    mask: Optional[File] = None  # noqa: UP045  authors write it
    more: list[File] = Field(default_factory=list)
    slots: list[File | None] = Field(default_factory=list)
    by_name: dict[str, File | None] = Field(default_factory=dict)
    nested: Nested | None = None
    noted: Annotated[File | None, {"not": "hashable"}] = None


def test_blank_files_are_none_where_none_is_allowed(note: Path) -> None:
    blanks = {
        "image": str(note),
        "mask": "",
        "slots": ["", {}, str(note), None],
        "by_name": {"a": {}, "b": str(note)},
        "nested": {"picture": ""},
        "noted": "",
    }
    form = Form.model_validate(blanks)
    assert form.mask is None and form.noted is None
    assert [slot and slot.filename for slot in form.slots] == [None, None, "note.txt", None]
    assert form.by_name["a"] is None and form.by_name["b"]
    assert form.nested and form.nested.picture is None
    assert blanks["mask"] == "" and blanks["nested"] == {"picture": ""}  # the caller's data stay as they are


@pytest.mark.parametrize("blank", ["", {}, None])
def test_a_blank_file_where_one_is_needed_is_an_error_of_that_field(blank: Any, note: Path) -> None:
    with pytest.raises(ValidationError) as caught:
        Form.model_validate({"image": blank})
    assert [error["loc"] for error in caught.value.errors()] == [("image",)]
    with pytest.raises(ValidationError):
        Form.model_validate({"image": str(note), "more": [str(note), blank]})


def test_a_file_that_cannot_be_fetched_is_an_error_of_its_field(note: Path) -> None:
    with pytest.raises(ValidationError, match="only the runtime") as caught:
        Form.model_validate({"image": str(note), "nested": {"picture": "inf://files/x/y"}})
    assert caught.value.errors()[0]["loc"] == ("nested", "picture")


def test_the_schema_of_a_file_is_a_string_of_format_file() -> None:
    properties = Form.model_json_schema()["properties"]
    file = {"type": "string", "format": "file"}
    assert properties["image"] == {
        **file,
        "contentMediaType": "image/*",
        "description": "the picture",
        "title": "Image",
    }
    assert properties["mask"]["anyOf"] == [file, {"type": "null"}]
    assert properties["more"]["items"] == file
    assert Form.model_json_schema(mode="serialization")["properties"]["image"]["format"] == "file"


def test_a_file_is_written_as_what_is_known_of_it(note: Path) -> None:
    class Output(BaseModel):
        image: File

    output = Output(image=File(path=note))
    written = {"path": str(note), "content_type": "text/plain", "size": 5, "filename": "note.txt"}
    assert output.model_dump()["image"] == written
    assert Output.model_validate_json(output.model_dump_json()).image.to_dict() == written


def test_validating_keeps_the_very_file_it_is_given(note: Path) -> None:
    file = File(note)
    assert Form(image=file).image is file


def test_a_writer_says_what_stands_for_the_files_of_an_output(note: Path) -> None:
    class Output(BaseModel):
        images: list[File]

    output = Output(images=[File(note), File(note)])
    seen = list[File]()
    with writing_files(lambda file: seen.append(file) or len(seen)):
        assert output.model_dump(mode="json") == {"images": [1, 2]}
    assert seen == output.images
    assert output.model_dump()["images"][0]["path"] == str(note)
