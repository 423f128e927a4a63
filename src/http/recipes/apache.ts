import { indented, tcpOf, wellKnownText } from "./recipe.ts";
import type { Recipe, Share } from "./recipe.ts";

/** Apache. */
export const APACHE: Recipe = {
  comment: "#",
  snippet: (share) => `# In the virtual host of your homeserver, before its own ProxyPass.
# Once: a2enmod proxy_http headers
AllowEncodedSlashes NoDecode
ProxyPreserveHost On
RequestHeader set X-Forwarded-Proto "expr=%{REQUEST_SCHEME}"
# What the client says of itself is not believed; mod_proxy adds its address.
RequestHeader unset X-Forwarded-For
${share.paths.map((path) => proxyPass(path, share)).join("")}`,
  site: ({ share, name, homeserver }) => `# a2enmod ssl http2 proxy_http headers; with mpm_event or mpm_worker.
# A waiting client takes a thread: MaxRequestWorkers has to be larger than the number of devices on line.
<VirtualHost *:443>
    ServerName ${name}
    Protocols h2 http/1.1
    SSLEngine on
    SSLCertificateFile /etc/letsencrypt/live/${name}/fullchain.pem
    SSLCertificateKeyFile /etc/letsencrypt/live/${name}/privkey.pem
    SSLProtocol -all +TLSv1.2 +TLSv1.3

    # This one belongs to the server's own name, wherever that is served.
    # The file says ${wellKnownText(name)}
    ProxyPass /.well-known/matrix/client !
    Alias /.well-known/matrix/client /etc/apache2/matrix-client.json
    <Location /.well-known/matrix/client>
        Require all granted
        ForceType application/json
        Header always set Access-Control-Allow-Origin *
    </Location>

${indented(APACHE.snippet(share), 4)}${share.isForwarding ? "" : `\n    # Everything else is the homeserver's.\n    ProxyPass / http://${homeserver}/ nocanon timeout=600\n`}</VirtualHost>
`,
};

/** `nocanon` hands the path on as it came; the first line that matches counts. */
function proxyPass(path: string, { bind, isForwarding }: Share): string {
  const below = isForwarding ? `${path}/` : path;
  const to = bind.kind === "unix" ? `unix:${bind.path}|http://localhost${below}` : `http://${tcpOf(bind)}${below}`;
  return `ProxyPass ${below} ${to} nocanon timeout=1800 flushpackets=on\n`;
}
