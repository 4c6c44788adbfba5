"""Files: uploaded once, attached to as many messages as you like, listed and deleted."""

from pathlib import Path
from tempfile import TemporaryDirectory

from agentkit import Runtime, UploadFileOptions


def main() -> None:
    with Runtime() as runtime, TemporaryDirectory() as folder:
        client = runtime.client()
        notes = Path(folder, "notes.txt")
        notes.write_text("Mooring fee, Hafen Lauterbach, paid 64.00 EUR", encoding="utf-8")

        by_path = client.files.upload(str(notes))
        by_bytes = client.files.upload(b"\x89PNG", UploadFileOptions(filename="dot.png", content_type="image/png"))
        print(by_path.filename, by_path.size, by_path.uri.partition(":")[0])

        agent = client.agent({"system_prompt": "Repeat the message."})
        reference = agent.upload_file(b"second page", filename="page2.txt")
        agent.send_message("Here are two files.", files=[reference, b"and raw bytes"])
        first = agent.get_chat().chat_messages[0]
        print([str(part.type) for part in first.content], first.content[1].file == reference.uri)

        client.files.delete(by_bytes.id)
        print(len(client.files.list().items), "files left")


if __name__ == "__main__":
    main()
