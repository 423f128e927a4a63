import { tcpOf, wellKnownText } from "./recipe.ts";
import type { Recipe, Share } from "./recipe.ts";

/** HAProxy. */
export const HAPROXY: Recipe = {
  comment: "#",
  snippet: (share) => `# In the frontend of your homeserver, before its own use_backend:
${inFrontend(share)}
# And beside its backend:
${backend(share)}`,
  site: ({ share, name, homeserver }) => `defaults
    mode http
    timeout connect 10s
    timeout client 10m
    timeout server 10m
    timeout http-request 30s
    # Who hangs up is told of to those behind.
    option abortonclose

frontend matrix
    # One file: the certificate, its intermediates, and the key.
    bind :443 ssl crt /etc/haproxy/certs/${name}.pem alpn h2,http/1.1 ssl-min-ver TLSv1.2
    http-request set-header X-Forwarded-For %[src]
    http-request set-header X-Forwarded-Proto https if { ssl_fc }
    # This one belongs to the server's own name, wherever that is served.
    http-request return status 200 content-type application/json hdr Access-Control-Allow-Origin * string '${wellKnownText(name)}' if { path /.well-known/matrix/client }
${inFrontend(share)}${share.isForwarding ? "" : "    # Everything else is the homeserver's.\n    default_backend homeserver\n"}
${backend(share)}${share.isForwarding ? "" : `\nbackend homeserver\n    server homeserver ${homeserver}\n`}`,
};

function inFrontend({ paths, isForwarding }: Share): string {
  const match = isForwarding ? `path_beg ${paths.map((root) => `${root}/`).join(" ")}` : `path ${paths.join(" ")}`;
  return `    acl is_glissade ${match}
    use_backend glissade if is_glissade
`;
}

const backend = ({ bind }: Share): string => `backend glissade
    http-request set-header X-Forwarded-For %[src]
    http-request set-header X-Forwarded-Proto https if { ssl_fc }
    option abortonclose
    timeout server 30m
    server glissade ${bind.kind === "unix" ? `unix@${bind.path}` : tcpOf(bind)}
`;
