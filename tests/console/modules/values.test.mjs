// What a person reads and edits: hidden characters, exact numbers, differences, fields.
import assert from "node:assert/strict";
import { test } from "node:test";

const home = process.env.CONSOLE_PAGES;
const { ends, hides, pieces } = await import(`${home}/characters.js`);
const { changes, words } = await import(`${home}/diff.js`);
const { Exact, parse, same, write } = await import(`${home}/json.js`);
const { members, plan, read, written } = await import(`${home}/schemas.js`);

const joined = (parts, kinds) =>
  parts
    .filter((each) => kinds.includes(each.kind))
    .map((each) => each.text)
    .join("");

test("every character that is not seen, or turns others around, has a name", () => {
  const told = (text, options) => pieces(text, options).map((each) => each.name ?? each.text);
  assert.deepEqual(told("a\u202eb"), ["a", "RLO", "b"]);
  assert.deepEqual(told("\u200b\u2066\ufeff\u0000\u001b\r\u00ad"), ["ZWSP", "LRI", "BOM", "NUL", "ESC", "CR", "SHY"]);
  assert.deepEqual(told("\u{e0041}\u3164\u2800x"), ["U+E0041", "U+3164", "U+2800", "x"]); // tags, fillers, a blank braille
  assert.deepEqual(told("\ud800"), ["U+D800"]);
  assert.deepEqual(told("line one\n\tline two"), ["line one\n\tline two"]);
  assert.deepEqual(told("\u{1f469}\u200d\u{1f4bb}", { lenient: true }), ["\u{1f469}\u200d\u{1f4bb}"]);
  assert.equal(hides("na\u00efve \u{1f469} \u4f60\u597d"), false);
  assert.equal(
    pieces("a\u202eb\u200b")
      .map((each) => each.text)
      .join(""),
    "a\u202eb\u200b",
  );
});

test("spaces at the ends are told apart", () => {
  assert.deepEqual(ends("  a b\u00a0"), ["  ", "a b", "\u00a0"]);
  assert.deepEqual(ends("   "), ["   ", "", ""]);
});

test("whole numbers keep every digit, there and back", () => {
  const text =
    '{"n":12345678901234567890,"list":[-98765432109876543210],"s":"12345678901234567890","f":0.1234567890123456}';
  const value = parse(text);
  assert.equal(String(value.n), "12345678901234567890");
  assert.ok(value.list[0] instanceof Exact);
  assert.equal(value.s, "12345678901234567890");
  assert.equal(write(value), text);
  assert.throws(() => parse('{"n":12345678901234567890'), SyntaxError);
  assert.ok(same(value, parse(text)));
  assert.ok(!same(parse("[12345678901234567890]"), parse("[12345678901234567891]")));
});

test("a difference is read back to both sides", () => {
  for (const [before, after] of [
    ["pay 100 EUR now", "pay 90 EUR today"],
    ["", "new"],
    ["same", "same"],
    ["a b c d", "c d a b"],
    ["149.90", "134.90"],
  ]) {
    const parts = words(before, after);
    assert.equal(joined(parts, ["same", "removed"]), before);
    assert.equal(joined(parts, ["same", "added"]), after);
  }
  assert.deepEqual(
    words("149.90 EUR", "134.90 EUR").map((each) => each.text),
    ["149.90", "134.90", " EUR"],
  ); // an amount is one word
});

test("very long texts are compared in no time", () => {
  const [before, after] = ["x y ".repeat(20_000), "z w ".repeat(20_000)];
  const parts = words(before, after);
  assert.equal(joined(parts, ["same", "removed"]), before);
  assert.equal(joined(parts, ["same", "added"]), after);
});

test("arguments are compared one by one, and a text is no number", () => {
  const found = changes({ a: 5, b: "x", gone: true }, { a: "5", b: "x", fresh: null });
  assert.deepEqual(
    found.map(({ name, kind }) => [name, kind]),
    [
      ["a", "changed"],
      ["b", "same"],
      ["gone", "removed"],
      ["fresh", "added"],
    ],
  );
  assert.deepEqual(found[0].pieces, [
    { kind: "removed", text: "5" },
    { kind: "added", text: '"5"' },
  ]);
  const odd = JSON.parse('{"__proto__": "polluted"}');
  assert.deepEqual(
    changes(odd, odd).map(({ name, kind }) => [name, kind]),
    [["__proto__", "same"]],
  );
  assert.deepEqual(
    changes(odd, {}).map(({ kind }) => kind),
    ["removed"],
  );
});

test("a field fits its schema and what is there already", () => {
  const kind = (schema, value) => plan(schema, value).kind;
  assert.equal(kind({ type: "string" }, "short"), "text");
  assert.equal(kind({ type: "string" }, "two\nlines"), "long");
  assert.equal(kind({ type: "string" }, "ends\r\n"), "json"); // a text field would drop the \r
  assert.equal(kind({ type: "string" }, 5), "json"); // what does not fit is not turned into what does
  assert.equal(kind({ type: "integer" }, undefined), "integer");
  assert.equal(kind({ anyOf: [{ type: "number" }, { type: "null" }] }, 1.5), "number");
  assert.equal(kind({ enum: ["a", "b"] }, "a"), "choice");
  assert.equal(
    kind({
      oneOf: [
        { const: 1, title: "one" },
        { const: 2, title: "two" },
      ],
    }),
    "choice",
  );
  assert.equal(kind({ type: "array", items: { enum: ["a", "b"] } }, ["a"]), "choices");
  assert.equal(kind({ type: "array", items: { enum: ["a", "b"] } }, ["c"]), "json");
  assert.equal(kind({ $ref: "#/$defs/size", $defs: { size: { type: "boolean" } } }, true), "boolean");
  assert.equal(kind({ $ref: "#/$defs/loop", $defs: { loop: { $ref: "#/$defs/loop" } } }, "x"), "text");
  assert.equal(kind({}, { a: 1 }), "json");
  assert.deepEqual(members({ type: "object", properties: { a: {} }, required: ["a"] }), {
    properties: { a: {} },
    required: ["a"],
  });
});

test("what is typed is read as what it stands for, or refused", () => {
  assert.equal(read("12", "integer"), 12);
  assert.equal(read(" -0.5 ", "number"), -0.5);
  assert.equal(String(read("12345678901234567890", "integer")), "12345678901234567890");
  assert.deepEqual(read('{"a": [1]}', "json"), { a: [1] });
  assert.equal(read(" as it is ", "text"), " as it is ");
  for (const [text, kind] of [
    ["1.5", "integer"],
    ["", "number"],
    ["0x10", "number"],
    ["1,5", "number"],
    ["Infinity", "number"],
    ["{", "json"],
  ]) {
    assert.throws(() => read(text, kind), Error, `${kind} ${text}`);
  }
  assert.equal(read(written({ a: "x" }, "json"), "json").a, "x");
});
