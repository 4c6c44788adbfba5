/** Which page is shown: by the path, with the browser's own back and forward. */

/**
 * A page: `open` begins it, `close` ends it, `title` is asked whenever it may have changed.
 * @typedef {{element: HTMLElement, title: () => string, open: () => void|Promise<void>, close: () => void}} Page
 */

/** Shows one page at a time in `outlet`. */
export class Router {
  /**
   * @param {HTMLElement} outlet
   * @param {[RegExp, string, (...names: string[]) => Page][]} routes path, the page's name, and what makes it
   * @param {(name: string) => void} onPage
   */
  constructor(outlet, routes, onPage) {
    this.outlet = outlet;
    this.routes = routes;
    this.onPage = onPage;
    this.page = null;
    window.addEventListener("popstate", () => this.show());
    document.addEventListener("click", (event) => this.follow(event));
  }

  /** Goes to a path of the console. */
  go(path) {
    if (path !== location.pathname) history.pushState(null, "", path);
    this.show();
    window.scrollTo(0, 0);
  }

  /** Shows what the address says. */
  async show() {
    const [name, make] = this.find(location.pathname.replace(/\/+$/, ""));
    this.page?.close();
    const page = make();
    this.page = page;
    this.outlet.replaceChildren(page.element);
    this.onPage(name);
    await page.open();
    if (this.page === page) document.documentElement.dataset.ready = name;
  }

  /** Ends the page that is shown; something else takes its place. */
  leave() {
    this.page?.close();
    this.page = null;
  }

  find(path) {
    for (const [pattern, name, make] of this.routes) {
      const match = pattern.exec(path);
      if (match) return [name, () => make(...match.slice(1).map(decodeURIComponent))];
    }
    const [, name, make] = this.routes[0];
    return [name, make];
  }

  follow(event) {
    const target = event.target instanceof Element ? event.target.closest("a[href]") : null;
    const isPlain = event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey && !event.altKey;
    if (!target || !isPlain || event.defaultPrevented || target.target) return;
    const url = new URL(target.href);
    const isHere = url.pathname === location.pathname && url.hash !== "";
    if (isHere || url.origin !== location.origin || !/^\/console(\/|$)/.test(url.pathname)) return;
    event.preventDefault();
    this.go(url.pathname);
  }
}
