"""A story as it is written: each update is all of it so far. After so many words it is cancelled, or it ends."""

from base64 import b64encode
from pathlib import Path

from examples.apps.place import app_at, parser

cli = parser("examples.stream_story", __doc__)
cli.add_argument("--seed", type=int, default=1, help="another seed, another story")
cli.add_argument("--words", type=int, default=80, help="how long at least (default: 80)")
cli.add_argument("--delay", type=float, default=0.05, help="seconds between two words (default: 0.05)")
cli.add_argument("--cancel-after", type=int, metavar="WORDS", help="cancel the task after so many words")
cli.add_argument("--order", type=int, default=2, help="how closely to follow what was read, 1 to 5 (default: 2)")
cli.add_argument("--corpus", type=Path, help="a text to learn from (default: a tale that comes with the app)")


def main() -> None:
    asked = cli.parse_args()
    corpus = f"data:text/plain;base64,{b64encode(asked.corpus.read_bytes()).decode()}" if asked.corpus else None
    params = {"setup": {"order": asked.order, "corpus": corpus}}
    params["input"] = {"seed": asked.seed, "words": asked.words, "delay": asked.delay}
    with app_at("story_stream", asked.base_url, workers=1) as (client, app):
        stream, told = client.tasks.run({"app": app, **params}, stream=True), ""
        try:
            for task in stream:
                text = (task.output or {}).get("text", told)
                print(text[len(told) :], end="", flush=True)
                told = text
                if asked.cancel_after and len(told.split()) >= asked.cancel_after:
                    stream.cancel()  # the app is asked to stop; the loop ends when it has
        except KeyboardInterrupt:
            client.tasks.cancel(stream.task_id or "")  # leaving the loop alone would let it go on
            raise
        if stream.error is not None and not asked.cancel_after:
            raise stream.error
        print(f"\n({stream.error})" if stream.error else "")


if __name__ == "__main__":
    main()
