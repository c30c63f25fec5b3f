// The platform APIs that the client uses, available in browsers and Node. It uses nothing else of the DOM.

interface Timer {}
declare function setTimeout(callback: () => void, ms?: number): Timer;
declare function clearTimeout(timer: Timer | undefined): void;

declare class AbortSignal {
  readonly aborted: boolean;
  addEventListener(type: "abort", listener: () => void): void;
  removeEventListener(type: "abort", listener: () => void): void;
}
declare class AbortController {
  readonly signal: AbortSignal;
  abort(): void;
}

declare function atob(base64: string): string;
declare class TextEncoder {
  encode(text: string): Uint8Array;
}
declare class TextDecoder {
  decode(bytes: Uint8Array): string;
}
declare class URL {
  constructor(url: string);
  readonly href: string;
  readonly searchParams: { set(name: string, value: string): void };
}

declare const crypto: { randomUUID(): string };
declare const performance: { now(): number };
declare var WebSocket: import("./connection.js").SocketClass;
