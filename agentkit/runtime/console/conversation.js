/** A chat as it is told: messages by id, put together from the stream, its deltas and what is fetched. No I/O. */

const FINAL = new Set(["ready", "failed", "cancelled"]);

/**
 * @typedef {{id: string, role: string, status: string, order: number, content: Object[], tool_invocations: Object[],
 *   delta_seq?: number}} Message
 */

/** One chat, and the chats of the agents that work for its calls. */
export class Conversation {
  constructor() {
    /** @type {Map<string, Message>} */
    this.messages = new Map();
    this.chat = null;
    this.progress = new Map(); // invocation id -> {message, progress, total}
    /** @type {Map<string, Map<string, Conversation>>} */
    this.below = new Map(); // invocation id -> chat id -> conversation
    this.told = new Map(); // message id -> when, counted
    this.clock = 0;
  }

  /**
   * Takes in one event of the stream. False: it changes nothing.
   * @param {string} event
   * @param {any} data
   */
  take(event, data) {
    if (event === "chats") return ((this.chatTold = ++this.clock), (this.chat = { ...this.chat, ...data }), true);
    if (event === "chat_messages") return this.tell(data);
    if (event === "delta") return this.grow(data);
    if (event === "tool_progress") return (this.progress.set(data.invocation_id, data), true);
    if (event === "child") return this.child(data.invocation_id, data.chat_id).take(data.event, data.data);
    return false;
  }

  /** The conversation of an agent that works for one of the calls. */
  child(invocationId, chatId) {
    if (!this.below.has(invocationId)) this.below.set(invocationId, new Map());
    const chats = this.below.get(invocationId);
    if (!chats.has(chatId)) chats.set(chatId, new Conversation());
    return chats.get(chatId);
  }

  /** When it is now: `merge` takes it as the moment at which fetching began. */
  mark() {
    return this.clock;
  }

  /**
   * Takes in fetched messages: what the stream told since `mark` is newer, unless it is not whole yet and they are.
   * @param {Message[]} fetched
   * @param {number} mark
   */
  merge(fetched, mark) {
    for (const message of fetched) {
      const known = this.messages.get(message.id);
      const isTold = (this.told.get(message.id) ?? -1) > mark;
      if (known && isTold && (FINAL.has(known.status) || !FINAL.has(message.status))) continue;
      this.messages.set(message.id, message);
    }
  }

  /** All of it in order; what waits in the queue comes last. */
  ordered() {
    const place = (each) => (each.order < 0 || each.status === "queued" ? Infinity : each.order);
    return [...this.messages.values()].sort(
      (one, other) => place(one) - place(other) || (one.created_at < other.created_at ? -1 : 1),
    );
  }

  tell(message) {
    this.messages.set(message.id, message);
    this.told.set(message.id, ++this.clock);
    return true;
  }

  /** A piece more of a message. One that does not follow on waits for the next snapshot, which holds it. */
  grow({ resource_id: id, seq, delta }) {
    const message = this.messages.get(id);
    if (!message || FINAL.has(message.status) || !delta) return false;
    const expected = message.delta_seq === undefined ? seq <= 1 : seq === message.delta_seq + 1;
    if (!expected) return false;
    return this.tell({
      ...message,
      delta_seq: seq,
      content: grown(grown(message.content, "reasoning", delta.reasoning), "text", delta.response),
    });
  }
}

function grown(content, type, more) {
  if (typeof more !== "string" || more === "") return content;
  const last = content.findLastIndex((each) => each.type === type);
  if (last === -1)
    return type === "reasoning" ? [{ type, text: more }, ...content] : [...content, { type, text: more }];
  return content.map((each, place) => (place === last ? { ...each, text: (each.text ?? "") + more } : each));
}

/** What a message says, of one kind. */
export function textOf(message, type = "text") {
  return (message.content ?? [])
    .filter((each) => each.type === type)
    .map((each) => each.text ?? "")
    .join("");
}

/** Whether a message will not change any more. */
export const isFinal = (message) => FINAL.has(message.status);

/** The calls of a message: those that are made, else those that the model is still writing. */
export function callsOf(message) {
  const made = message.tool_invocations ?? [];
  if (made.length) return made;
  const written = (message.content ?? []).flatMap((each) => each.tool_calls ?? []);
  return written.map((each, place) => ({
    id: `${message.id}.${place}`,
    function: each.function ?? {},
    status: "writing",
    isWritten: true,
  }));
}
