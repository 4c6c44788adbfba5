// A chat put together from the stream, its deltas and what is fetched; the stream's lines; the little Markdown.
import assert from "node:assert/strict";
import { test } from "node:test";

const home = process.env.CONSOLE_PAGES;
const { Conversation, callsOf, textOf } = await import(`${home}/conversation.js`);
const { blocks } = await import(`${home}/markdown.js`);
const { lines } = await import(`${home}/stream.js`);
const { lasting } = await import(`${home}/times.js`);

const message = (id, more = {}) => ({
  id,
  role: "assistant",
  status: "pending",
  order: 1,
  created_at: "1",
  content: [],
  tool_invocations: [],
  ...more,
});
const saying = (text) => [{ type: "text", text }];

test("deltas that follow on are added, others wait for the snapshot that holds them", () => {
  const chat = new Conversation();
  chat.take("chat_messages", message("m", { content: saying("It "), delta_seq: 2 }));
  assert.equal(chat.take("delta", { resource_id: "m", seq: 2, delta: { response: "It " } }), false); // was in it
  assert.equal(chat.take("delta", { resource_id: "m", seq: 3, delta: { response: "is ", reasoning: "hm" } }), true);
  assert.equal(chat.take("delta", { resource_id: "m", seq: 5, delta: { response: "lost" } }), false); // a gap
  assert.equal(textOf(chat.messages.get("m")), "It is ");
  assert.equal(textOf(chat.messages.get("m"), "reasoning"), "hm");
  chat.take("chat_messages", message("m", { content: saying("It is 18"), delta_seq: 5 }));
  chat.take("delta", { resource_id: "m", seq: 6, delta: { response: "." } });
  assert.equal(textOf(chat.messages.get("m")), "It is 18.");
  chat.take("chat_messages", message("m", { status: "ready", content: saying("It is 18.") }));
  assert.equal(chat.take("delta", { resource_id: "m", seq: 7, delta: { response: "!" } }), false);
  assert.equal(chat.take("delta", { resource_id: "nobody", seq: 1, delta: { response: "!" } }), false);
});

test("the first delta of a message that is still empty is its first", () => {
  const chat = new Conversation();
  chat.take("chat_messages", message("m"));
  assert.equal(chat.take("delta", { resource_id: "m", seq: 1, delta: { response: "A" } }), true);
  assert.equal(chat.take("delta", { resource_id: "m", seq: 2, delta: { response: "B" } }), true);
  assert.equal(textOf(chat.messages.get("m")), "AB");
});

test("what the stream told while a fetch was on its way is newer, unless the fetched one is whole", () => {
  const chat = new Conversation();
  chat.take("chat_messages", message("old", { status: "ready", content: saying("kept") }));
  const mark = chat.mark();
  chat.take("chat_messages", message("m", { content: saying("newer"), delta_seq: 9 }));
  chat.take("chat_messages", message("n", { content: saying("half") }));
  chat.merge(
    [
      message("m", { content: saying("new") }),
      message("n", { status: "ready", content: saying("whole") }),
      message("old", { status: "ready", content: saying("fetched") }),
    ],
    mark,
  );
  assert.deepEqual(
    ["m", "n", "old"].map((id) => textOf(chat.messages.get(id))),
    ["newer", "whole", "fetched"],
  );
});

test("messages come in their order, those that wait in the queue last", () => {
  const chat = new Conversation();
  chat.merge(
    [message("queued", { order: -1, status: "queued" }), message("b", { order: 2 }), message("a", { order: 0 })],
    0,
  );
  assert.deepEqual(
    chat.ordered().map((each) => each.id),
    ["a", "b", "queued"],
  );
});

test("what happens below a call is told at that call", () => {
  const chat = new Conversation();
  const told = (event, data) => chat.take("child", { chat_id: "c2", invocation_id: "i1", depth: 1, event, data });
  told("chat_messages", message("m2", { content: saying("from below"), delta_seq: 1 }));
  told("delta", { resource_id: "m2", seq: 2, delta: { response: "!" } });
  assert.equal(textOf(chat.child("i1", "c2").messages.get("m2")), "from below!");
  assert.equal(chat.messages.size, 0);
});

test("calls that are still written are shown as such until they are made", () => {
  const written = message("m", {
    content: [{ type: "tool", tool_calls: [{ function: { name: "look", arguments: '{"q"' } }] }],
  });
  assert.deepEqual(
    callsOf(written).map(({ id, status }) => [id, status]),
    [["m.0", "writing"]],
  );
  assert.deepEqual(
    callsOf({ ...written, tool_invocations: [{ id: "i1", status: "pending" }] }).map(({ id }) => id),
    ["i1"],
  );
});

test("lines are whole however their bytes come apart", async () => {
  const bytes = new TextEncoder().encode('{"a":"\u00e4\u{1f469}"}\n\n{"b":1}\n{"cut');
  const apart = new ReadableStream({
    start: (stream) => (bytes.forEach((each) => stream.enqueue(Uint8Array.of(each))), stream.close()),
  });
  const found = [];
  for await (const line of lines(apart)) found.push(line);
  assert.deepEqual(found, ['{"a":"\u00e4\u{1f469}"}', "", '{"b":1}']);
});

test("a text that grows keeps its finished blocks", () => {
  const whole = "# Title\n\ntwo\nlines\n\n- a\n- b\n  more\n\n```python\nx = 1\n\n# no heading\n```\n\n---\n\nend";
  assert.deepEqual(
    blocks(whole).map(({ kind, text }) => [kind, text]),
    [
      ["heading", "Title"],
      ["text", "two\nlines"],
      ["list", "- a\n- b\n  more"],
      ["code", "x = 1\n\n# no heading"],
      ["rule", ""],
      ["text", "end"],
    ],
  );
  for (let end = 1; end < whole.length; end++) {
    const [part, more] = [blocks(whole.slice(0, end)), blocks(whole.slice(0, end + 1))];
    assert.deepEqual(more.slice(0, part.length - 1), part.slice(0, -1));
  }
});

test("durations are short", () => {
  assert.deepEqual([0, 59, 60, 3_600, 3_900, 90_000].map(lasting), [
    "0 s",
    "59 s",
    "1 min",
    "1 h",
    "1 h 5 min",
    "1 d 1 h",
  ]);
});
