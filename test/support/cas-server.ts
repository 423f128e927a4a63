/** A server for single sign-on by CAS: it lets in whoever comes, always as the same user. */
export function startCasServer(user: string): { url: string; stop: () => void } {
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch(request) {
      const url = new URL(request.url);
      if (url.pathname.endsWith("/login")) {
        const service = url.searchParams.get("service") ?? "";
        const location = `${service}${service.includes("?") ? "&" : "?"}ticket=ticket`;
        return new Response(null, { status: 302, headers: { location } });
      }
      const body = `<cas:serviceResponse xmlns:cas="http://www.yale.edu/tp/cas"><cas:authenticationSuccess><cas:user>${user}</cas:user></cas:authenticationSuccess></cas:serviceResponse>`;
      return new Response(body, { headers: { "content-type": "application/xml" } });
    },
  });
  return { url: `http://127.0.0.1:${server.port}`, stop: () => void server.stop(true) };
}
