"""Every picture of a folder, resized by several workers at a time. Without a folder it draws a few pictures first."""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from examples.apps.place import app_at, parser
from examples.apps.samples import draw_pictures

cli = parser("examples.resize_folder", __doc__)
cli.add_argument("folder", nargs="?", type=Path, help="where the pictures are (default: some are drawn)")
cli.add_argument("--out", type=Path, default=Path("resized"), help="where the new ones go (default: resized)")
cli.add_argument("--width", type=int, default=320, help="pixels at most (default: 320)")
cli.add_argument("--format", choices=["same", "jpeg", "png", "webp", "gif"], default="same", help="what to write")
cli.add_argument("--concurrency", type=int, default=2, help="how many at a time (default: 2)")


def main() -> None:
    asked = cli.parse_args()
    count = asked.concurrency
    with TemporaryDirectory() as own, app_at("image_resizer", asked.base_url, workers=count) as (client, app):
        found = sorted(asked.folder.iterdir()) if asked.folder else draw_pictures(Path(own))
        pictures = [each for each in found if each.is_file()]
        inputs = [{"image": each, "width": asked.width, "format": asked.format} for each in pictures]  # Paths: uploaded
        asked.out.mkdir(parents=True, exist_ok=True)
        with client.tasks.map(inputs, app, concurrency=count, return_exceptions=True, on_progress=show) as results:
            for picture, result in zip(pictures, results, strict=True):
                if not isinstance(result, Exception):
                    result = client.files.download(result.output["image"], to=asked.out).name
                print(f"{picture.name}: {result}")


def show(done: int, started: int) -> None:
    print(f"{done} done, {started - done} under way", file=sys.stderr)


if __name__ == "__main__":
    main()
