import { indented, tcpOf, wellKnownText } from "./recipe.ts";
import type { Recipe, Share } from "./recipe.ts";

/** nginx. */
export const NGINX: Recipe = {
  comment: "#",
  snippet: ({ paths, bind, isForwarding }) =>
    isForwarding
      ? paths.map((root) => location(`${root}/`, bind, ANY_BODY)).join("\n")
      : paths.map((path) => location(`= ${path}`, bind, SYNC_BODY)).join("\n"),
  site: ({ share, name, homeserver }) => `server {
    listen 443 ssl http2;
    listen [::]:443 ssl http2;
    server_name ${name};
    ssl_certificate /etc/letsencrypt/live/${name}/fullchain.pem;
    ssl_certificate_key /etc/letsencrypt/live/${name}/privkey.pem;
    ssl_protocols TLSv1.2 TLSv1.3;

    # This one belongs to the server's own name, wherever that is served.
    location = /.well-known/matrix/client {
        default_type application/json;
        add_header Access-Control-Allow-Origin *;
        return 200 '${wellKnownText(name)}';
    }

${indented(NGINX.snippet(share), 4)}${share.isForwarding ? "" : `\n${indented(HOMESERVER.replace("ADDRESS", homeserver), 4)}`}}
`,
};

/** Sync requests may be as large as Glissade takes them, whatever the rest of the site says. */
const SYNC_BODY = `
    client_max_body_size 1m;`;

/** Media go up as they come, whatever their size: the homeserver has a limit of its own. */
const ANY_BODY = `
    client_max_body_size 0;
    proxy_request_buffering off;`;

/** `proxy_pass` without a path hands the path on as it came. */
function location(match: string, bind: Share["bind"], more: string): string {
  return `location ${match} {
    proxy_pass http://${bind.kind === "unix" ? `unix:${bind.path}` : tcpOf(bind)};
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_set_header Host $http_host;
    proxy_set_header X-Forwarded-For $remote_addr;
    proxy_set_header X-Forwarded-Proto $scheme;
    proxy_read_timeout 30m;
    proxy_buffering off;${more}
}
`;
}

const HOMESERVER = `# Everything else is the homeserver's; its own limit for uploads is max_upload_size.
location / {
    proxy_pass http://ADDRESS;
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_set_header Host $http_host;
    proxy_set_header X-Forwarded-For $remote_addr;
    proxy_set_header X-Forwarded-Proto $scheme;
    proxy_read_timeout 10m;
    client_max_body_size 0;
    proxy_request_buffering off;
}
`;
