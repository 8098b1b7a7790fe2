// A Worker for pages that lie on disk: its script runs in a hidden frame.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super();
      this.frame = document.createElement("iframe");
      this.frame.hidden = true;
      document.body.append(this.frame);
      const inner = this.frame.contentWindow;
      inner.document.open();
      inner.document.write("<body></body>");
      inner.document.close();
      inner.postMessage = (data) => setTimeout(() => this.answer(data));
      const script = inner.document.createElement("script");
      script.src = url;
      this.loaded = new Promise((resolve) => (script.onload = resolve));
      inner.document.body.append(script);
    }

    answer(data) {
      const message = new MessageEvent("message", { data: structuredClone(data) });
      this.onmessage?.(message);
      this.dispatchEvent(message);
    }

    async postMessage(data) {
      const message = new MessageEvent("message", { data: structuredClone(data) });
      await this.loaded;
      this.frame.contentWindow.dispatchEvent(message);
    }

    terminate() {
      this.frame.remove();
    }
  };
}
