import type { ProxyKind } from "./proxy-kind.ts";

/** What reverse proxies are told to change. */
export type Topic =
  | "route-paths"
  | "route-options"
  | "reach-glissade"
  | "long-polls"
  | "streaming"
  | "request-size"
  | "upload-size"
  | "path-bytes"
  | "host"
  | "authorization"
  | "forwarded"
  | "tls-1.2"
  | "tls-1.3"
  | "chain"
  | "http2"
  | "cors"
  | "cache"
  | "addresses";

/** In everybody's words, and in those of the proxies that have their own. */
type Words = { any: string } & Partial<Record<ProxyKind, string>>;

const WORDS: Readonly<Record<Topic, Words>> = {
  "route-paths": {
    any: "glissade routes prints the paths that the reverse proxy has to send to Glissade, with --nginx, --caddy, --haproxy or --apache as its configuration",
    nginx:
      "glissade routes --nginx prints the location blocks: put them into the server block of this name, and reload nginx",
    caddy:
      "glissade routes --caddy prints the lines: put them into the site of this name, before its own reverse_proxy",
    haproxy:
      "glissade routes --haproxy prints acl, use_backend and backend: the use_backend has to stand before those of the homeserver",
    apache:
      "glissade routes --apache prints the ProxyPass lines: put them before those of the homeserver, because the first that matches counts",
  },
  "route-options": {
    any: "the reverse proxy has to hand OPTIONS on like POST, and must not answer or refuse it itself",
    nginx:
      "remove limit_except and any if ($request_method = OPTIONS) from the locations of the sync paths: Glissade answers preflights itself",
    apache:
      "remove <Limit>, <LimitExcept> and RewriteRule lines that answer OPTIONS: Glissade answers preflights itself",
  },
  "reach-glissade": {
    any: "the reverse proxy cannot reach Glissade: is it running (glissade --healthcheck), and is its address in the reverse proxy that of SYNCV3_BINDADDR?",
    nginx:
      "compare proxy_pass with SYNCV3_BINDADDR, and run glissade --healthcheck; on SELinux: setsebool -P httpd_can_network_connect 1",
    caddy: "compare the address in reverse_proxy with SYNCV3_BINDADDR, and run glissade --healthcheck",
    haproxy:
      "compare the address in its server line with SYNCV3_BINDADDR, and run glissade --healthcheck; option httpchk takes /health/ready",
    apache:
      "compare ProxyPass with SYNCV3_BINDADDR, and run glissade --healthcheck; on SELinux: setsebool -P httpd_can_network_connect 1",
  },
  "long-polls": {
    any: "let the reverse proxy wait at least 60 s for the sync paths, better 30 minutes: first syncs of large accounts take long",
    nginx: "proxy_read_timeout 30m; in the locations of the sync paths",
    caddy:
      "remove response_header_timeout and read_timeout from the transport of reverse_proxy, and timeouts { write } from the servers options",
    haproxy: "timeout server 30m in the backend glissade",
    apache: "ProxyPass … timeout=1800 for the sync paths: without it, Timeout (60 s) holds",
  },
  streaming: {
    any: "switch off buffering of answers for what goes to Glissade",
    nginx: "proxy_buffering off; in the locations that go to Glissade",
    caddy: "remove response_buffers from reverse_proxy, or set flush_interval -1",
    haproxy: "remove option http-buffer-request and filters such as compression from the backend glissade",
    apache: "SetEnv proxy-sendchunks 1, ProxyPass … flushpackets=on, and no SetOutputFilter DEFLATE for these paths",
  },
  "request-size": {
    any: "allow request bodies of at least 1 MiB on the sync paths",
    nginx: "client_max_body_size 1m; or more in the locations of the sync paths",
    caddy: "remove request_body max_size from the site, or set at least 1MB",
    haproxy:
      "remove http-request deny rules on req.body_size or req.hdr(content-length), and raise tune.bufsize if it was lowered",
    apache: "LimitRequestBody 1048576 or more for the sync paths",
  },
  "upload-size": {
    any: "allow request bodies of at least what max_upload_size of the homeserver says (50 MiB on Synapse) below /_matrix",
    nginx:
      "client_max_body_size 50m; (as large as max_upload_size of the homeserver, or 0 to leave it to that) in the location of /_matrix",
    caddy: "remove request_body max_size from the site, or set it to max_upload_size of the homeserver",
    haproxy: "remove http-request deny rules on req.body_size or req.hdr(content-length)",
    apache: "LimitRequestBody 0 for /_matrix: the homeserver has a limit of its own",
  },
  "path-bytes": {
    any: "have the reverse proxy hand paths on as they came: no decoding, no normalising, no merging of slashes",
    nginx:
      "proxy_pass without anything behind the address: proxy_pass http://127.0.0.1:8008; and not …:8008/ or …:8008$uri; no rewrite either",
    caddy: "use reverse_proxy alone for these paths: no uri, rewrite or handle_path",
    haproxy: "remove http-request normalize-uri and set-path rules",
    apache: "AllowEncodedSlashes NoDecode in the virtual host, and nocanon on every ProxyPass",
  },
  host: {
    any: "have the reverse proxy hand on the Host that the client sent",
    nginx: "proxy_set_header Host $http_host;",
    caddy: "remove header_up Host from reverse_proxy: Caddy hands it on by itself",
    haproxy: "remove http-request set-header Host",
    apache: "ProxyPreserveHost On",
  },
  authorization: {
    any: "have the reverse proxy hand on the Authorization header",
    nginx: 'remove proxy_set_header Authorization ""; and auth_basic from these locations',
    caddy: "remove header_up -Authorization and basic_auth from these paths",
    haproxy: "remove http-request del-header Authorization",
    apache: "remove RequestHeader unset Authorization, and authentication of Apache's own (AuthType) from these paths",
  },
  forwarded: {
    any: "have the outermost reverse proxy set X-Forwarded-For to the client's address and X-Forwarded-Proto to https, whatever the client sent",
    nginx: "proxy_set_header X-Forwarded-For $remote_addr; proxy_set_header X-Forwarded-Proto $scheme;",
    haproxy:
      "http-request set-header X-Forwarded-For %[src] and http-request set-header X-Forwarded-Proto https if { ssl_fc }",
    apache: 'RequestHeader set X-Forwarded-Proto "https" (mod_headers); X-Forwarded-For comes with ProxyAddHeaders On',
  },
  "tls-1.2": {
    any: "offer TLS 1.2 beside 1.3: there are clients on iOS that cannot do without",
    nginx: "ssl_protocols TLSv1.2 TLSv1.3;",
    caddy: "tls { protocols tls1.2 tls1.3 }",
    haproxy: "ssl-min-ver TLSv1.2 (ssl-default-bind-options), and no ssl-min-ver TLSv1.3 on the bind line",
    apache: "SSLProtocol -all +TLSv1.2 +TLSv1.3",
  },
  "tls-1.3": {
    any: "offer TLS 1.3 as well: it saves every new connection a round trip",
    nginx: "ssl_protocols TLSv1.2 TLSv1.3;",
    caddy: "tls { protocols tls1.2 tls1.3 }",
    haproxy: "remove ssl-max-ver and no-tlsv13",
    apache: "SSLProtocol -all +TLSv1.2 +TLSv1.3",
  },
  chain: {
    any: "send the whole chain, the certificate first and its intermediates behind it (fullchain.pem of certbot and acme.sh)",
    nginx: "ssl_certificate …/fullchain.pem; (not cert.pem)",
    caddy: "tls <fullchain> <key>, or leave certificates to Caddy altogether",
    haproxy: "bind … crt <file> with certificate, intermediates and key in one file, in this order",
    apache: "SSLCertificateFile …/fullchain.pem (not cert.pem)",
  },
  http2: {
    any: "offer HTTP/2: browsers open six connections to a server without it, and long polls hold several of them",
    nginx: "listen 443 ssl http2; (http2 on; from 1.25.1 on)",
    haproxy: "bind … ssl crt … alpn h2,http/1.1",
    apache: "a2enmod http2, and Protocols h2 http/1.1 in the virtual host",
  },
  cors: {
    any: "let nobody but Glissade and the homeserver set Access-Control-* headers: browsers refuse an answer that has them twice",
    nginx:
      "remove add_header Access-Control-… from the locations (and the server block) that hand on to Glissade and the homeserver",
    caddy: "remove header Access-Control-… from the site",
    haproxy: "remove http-response set-header and add-header Access-Control-…",
    apache: "remove Header set/add/always set Access-Control-… from the virtual host",
  },
  addresses: {
    any: "have the reverse proxy listen on every address that the name has in DNS (A and AAAA), or take the address out of DNS",
    nginx:
      "listen 443 ssl http2; and listen [::]:443 ssl http2; in the same server block, or take the address out of DNS",
    haproxy: "bind :::443 v4v6 ssl …, or take the address out of DNS",
  },
  cache: {
    any: "do not cache /_matrix, or keep Vary: Authorization and let it count: /versions says different things to different users",
    nginx: "proxy_cache off; for /_matrix, and no proxy_ignore_headers Vary or proxy_hide_header Vary",
    apache: "CacheDisable /_matrix",
    haproxy: "remove http-request cache-use from what is below /_matrix",
  },
};

/** What to change, in the words of the reverse proxy where it is known. */
export function adviceFor(topic: Topic, proxy: ProxyKind | null): string {
  const words = WORDS[topic];
  const own = proxy === null ? undefined : words[proxy];
  return own === undefined ? words.any : `${proxy}: ${own}`;
}
