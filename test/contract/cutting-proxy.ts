import { type Server, type Socket, connect, createServer } from "node:net";
import { freePort } from "#test/support/ports.ts";

/** Stands between a pool and its server, and can lose what passes. */
export class CuttingProxy {
  readonly #target: { host: string; port: number };
  readonly #server: Server;
  readonly #pairs = new Set<[Socket, Socket]>();
  /** Called with what a client sends; "lose-answer" passes it on, then cuts once the server has answered. */
  onRequest: (bytes: Uint8Array) => "pass" | "lose-answer" | "cut" = () => "pass";
  isSwallowing = false;

  constructor(target: { host: string; port: number }) {
    this.#target = target;
    this.#server = createServer((client) => this.#bridge(client));
  }

  async listen(): Promise<number> {
    const port = await freePort();
    await new Promise<void>((resolve) => {
      this.#server.listen(port, "127.0.0.1", resolve);
    });
    return port;
  }

  cutAll(): void {
    for (const pair of this.#pairs) for (const socket of pair) socket.destroy();
  }

  close(): void {
    this.cutAll();
    this.#server.close();
  }

  #bridge(client: Socket): void {
    const server = connect(this.#target.port, this.#target.host);
    const pair: [Socket, Socket] = [client, server];
    this.#pairs.add(pair);
    let isLosingAnswer = false;
    const cut = (): void => {
      client.destroy();
      server.destroy();
      this.#pairs.delete(pair);
    };
    client.on("data", (bytes: Uint8Array) => {
      const fate = this.onRequest(bytes);
      if (fate === "cut") return cut();
      if (fate === "lose-answer") isLosingAnswer = true;
      if (!this.isSwallowing) server.write(bytes);
    });
    server.on("data", (bytes: Uint8Array) => {
      if (isLosingAnswer) cut();
      else if (!this.isSwallowing) client.write(bytes);
    });
    for (const socket of pair) {
      socket.on("error", cut);
      socket.on("close", cut);
    }
  }
}
