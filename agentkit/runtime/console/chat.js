/** One chat: its transcript as it grows, what it asks, and a box to write in. */

import { ApiError, at, get, newKey, post } from "./api.js";
import { readable } from "./arguments.js";
import { Card } from "./card.js";
import { chatStatus } from "./chats.js";
import { Conversation } from "./conversation.js";
import { arrange, fill, fresh, h, link, say, soon } from "./dom.js";
import { draft, forget, keep } from "./drafts.js";
import { isOf, questions } from "./questions.js";
import { Scroller } from "./scroller.js";
import { Stream } from "./stream.js";
import { Transcript } from "./transcript.js";

const PAGE = 40; // messages fetched at a time
const WORKING = ["busy", "awaiting_input", "waiting"];

/** The page. */
export class Chat {
  title = () => this.conversation.chat?.name || "Chat";

  /** @param {string} id */
  constructor(id) {
    this.id = id;
    this.conversation = new Conversation();
    this.cards = new Map();
    this.older = "";
    this.results = new Map(); // invocation id -> all of a result that the stream cuts
    this.transcript = new Transcript({
      cardOf: (invocationId) => this.cardOf(invocationId),
      loadChild: (call) => this.loadChild(call),
      loadResult: (call) => this.loadResult(call),
    });
    this.more = h("button", {
      type: "button",
      class: "quiet",
      text: "Show older messages",
      on: { click: () => this.loadOlder() },
    });
    this.more.hidden = true;
    this.waiting = h("div", { class: "cards", "aria-label": "Questions that wait", role: "region" });
    this.empty = h("p", { class: "empty", role: "status", text: "Loading\u2026" });
    this.scroller = new Scroller(
      h("div", { class: "content" }, this.more, this.transcript.element, this.empty, this.waiting),
    );
    this.draw = soon(() => this.isClosed || this.render());
    this.heading = h("h1", { text: "Chat" });
    this.status = h("span", { class: "status", testid: "chat-status" });
    this.live = h("span", { class: "muted" });
    this.stop = h("button", { type: "button", testid: "stop", text: "Stop", on: { click: () => this.halt() } });
    this.stop.hidden = true;
    this.element = h(
      "div",
      { class: "page chat" },
      h(
        "div",
        { class: "head" },
        link("/console/chats", "Chats", { class: "back" }),
        this.heading,
        this.status,
        this.live,
        this.stop,
      ),
      h("div", { class: "stage" }, this.scroller.element, this.scroller.jump),
      this.buildBox(),
    );
    this.onQuestion = ({ detail }) => this.takeQuestion(detail.question);
    this.onReady = () => this.render();
  }

  buildBox() {
    const id = fresh("message");
    this.box = h("textarea", {
      id,
      rows: 1,
      testid: "message-box",
      placeholder: "Write to the agent",
      "aria-label": "Message",
    });
    this.box.value = draft(this.draftName).text ?? "";
    this.problem = h("p", { class: "problem", role: "alert" });
    this.sendButton = h("button", { type: "submit", class: "primary", testid: "send", text: "Send" });
    const form = h("form", { class: "composer" }, this.box, this.sendButton, this.problem);
    this.box.addEventListener("input", () => keep(this.draftName, { text: this.box.value }));
    this.box.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      this.send();
    });
    form.addEventListener("submit", (event) => (event.preventDefault(), this.send()));
    return form;
  }

  get draftName() {
    return `chat.${this.id}`;
  }

  async open() {
    questions.addEventListener("change", this.onQuestion);
    questions.addEventListener("ready", this.onReady);
    this.stream = new Stream(at`/chats/${this.id}/stream`, {
      onItem: (item) => this.take(item),
      onOpen: () => this.load(),
      onState: (state) => say(this.live, { waiting: "reconnecting", connecting: "", hidden: "paused" }[state] ?? ""),
    });
    await this.load();
  }

  close() {
    this.stream?.close();
    this.scroller.close();
    questions.removeEventListener("change", this.onQuestion);
    questions.removeEventListener("ready", this.onReady);
    this.isClosed = true;
  }

  // -- what is told -------------------------------------------------------------------------------------------------

  take({ event, data }) {
    if (!event || !this.conversation.take(event, data)) return;
    this.draw();
  }

  /** Fetches the newest messages, at first and whenever the stream is there again; the chat itself is streamed. */
  async load() {
    const mark = this.conversation.mark();
    try {
      const page = await get(at`/chats/${this.id}/messages`, { query: { limit: PAGE } });
      this.conversation.merge(page.items, mark);
      if (!this.isLoaded) this.older = page.has_next ? page.next_cursor : "";
      this.isLoaded = true;
      this.render();
    } catch (error) {
      this.failed(error);
    }
  }

  async loadOlder() {
    const mark = this.conversation.mark();
    try {
      const page = await get(at`/chats/${this.id}/messages`, { query: { limit: PAGE, cursor: this.older } });
      this.older = page.has_next ? page.next_cursor : "";
      this.conversation.merge(page.items, mark);
      this.scroller.change(() => this.show(), { isNews: false });
    } catch (error) {
      this.failed(error);
    }
  }

  /** A sub-agent's chat, where the stream has not told it. */
  async loadChild(call) {
    if (!call.execution_id || call.type !== "agent") return;
    const child = this.conversationOf(call).child(call.id, call.execution_id);
    const mark = child.mark();
    try {
      const page = await get(at`/chats/${call.execution_id}/messages`, { query: { limit: PAGE } });
      child.merge(page.items, mark);
      this.render();
    } catch (error) {
      this.failed(error);
    }
  }

  /** All of a result that the stream cut. */
  async loadResult(call) {
    const owner = this.conversationOf(call);
    const message = [...owner.messages.values()].find((each) =>
      (each.tool_invocations ?? []).some((other) => other.id === call.id),
    );
    try {
      const chat = await get(at`/chats/${message.chat_id}`);
      const found = chat.chat_messages
        .flatMap((each) => each.tool_invocations ?? [])
        .find((each) => each.id === call.id);
      if (!found) return;
      owner.tell({
        ...message,
        tool_invocations: message.tool_invocations.map((each) => (each.id === call.id ? found : each)),
      });
      this.render();
    } catch (error) {
      this.failed(error);
    }
  }

  /** The conversation that a call belongs to, this one or one below. */
  conversationOf(call, within = this.conversation) {
    if (
      [...within.messages.values()].some((each) => (each.tool_invocations ?? []).some((other) => other.id === call.id))
    )
      return within;
    for (const chats of within.below.values())
      for (const each of chats.values()) {
        const found = this.conversationOf(call, each);
        if (found) return found;
      }
    return within === this.conversation ? within : null;
  }

  failed(error) {
    if (!(error instanceof ApiError)) throw error;
    say(this.empty, error.status === 404 ? "There is no such chat (any more)." : error.message);
  }

  // -- what is shown ------------------------------------------------------------------------------------------------

  render() {
    this.scroller.change(() => this.show());
    this.showHead();
  }

  show() {
    for (const each of questions.pending()) if (isOf(each, this.id)) this.cardFor(each);
    this.transcript.show(this.conversation);
    const placed = new Set([...this.transcript.element.querySelectorAll(".card")]);
    const left = [...this.cards.values()].filter((each) => !placed.has(each.element) && each.isPending);
    arrange(
      this.waiting,
      left.map((each) => each.element),
    );
    this.more.hidden = this.older === "";
    if (this.isLoaded) say(this.empty, this.conversation.messages.size ? "" : "No messages yet.");
  }

  showHead() {
    const { chat } = this.conversation;
    if (!chat) return;
    const name = chat.name || "Chat";
    if (this.shownName !== name) this.showName(name);
    say(this.status, chatStatus(chat));
    this.status.dataset.status = chat.status;
    this.stop.hidden = !WORKING.includes(chat.status);
  }

  showName(name) {
    this.shownName = name;
    fill(this.heading, ...readable(name, { lenient: true }));
    this.element.dispatchEvent(new Event("titlechange", { bubbles: true }));
  }

  takeQuestion(question) {
    if (!isOf(question, this.id)) return;
    this.scroller.change(() => {
      if (question.status === "pending") this.cardFor(question);
      this.cards.get(question.id)?.update(question);
      this.show();
    });
  }

  cardFor(question) {
    if (this.cards.has(question.id)) return;
    const card = new Card(question, { isInChat: true });
    this.cards.set(question.id, card);
    card.brief();
  }

  /** The card of the latest question about a call, in the call's own place. */
  cardOf(invocationId) {
    return [...this.cards.values()].filter((each) => each.question.resource_id === invocationId).at(-1) ?? null;
  }

  // -- what is done -------------------------------------------------------------------------------------------------

  async send() {
    const text = this.box.value;
    if (text.trim() === "" || this.sendButton.disabled) return;
    if (this.sent?.text !== text) this.sent = { text, key: newKey() };
    this.sendButton.disabled = true;
    say(this.problem, "");
    try {
      const reply = await post("/agents/run", { chat_id: this.id, input: { text } }, { key: this.sent.key });
      this.sent = null;
      if (this.box.value === text) this.box.value = "";
      forget(this.draftName);
      this.scroller.isPinned = true;
      for (const each of [reply.user_message, reply.assistant_message])
        if (each && !this.conversation.messages.has(each.id)) this.conversation.merge([each], this.conversation.mark());
      this.render();
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (error.status !== 0) this.sent = null;
      say(this.problem, error.message);
    } finally {
      this.sendButton.disabled = false;
    }
  }

  async halt() {
    this.stop.disabled = true;
    try {
      await post(at`/chats/${this.id}/stop`);
    } catch (error) {
      say(this.problem, error.message);
    } finally {
      this.stop.disabled = false;
    }
  }
}
