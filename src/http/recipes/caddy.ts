import { indented, tcpOf, wellKnownText } from "./recipe.ts";
import type { Recipe } from "./recipe.ts";

/** Caddy. It hands on Host, paths and streams as they are by itself. */
export const CADDY: Recipe = {
  comment: "#",
  snippet: ({
    paths,
    bind,
    isForwarding,
  }) => `# In the site of your homeserver${isForwarding ? "" : ", beside its own reverse_proxy"}:
@glissade path ${(isForwarding ? paths.map((root) => `${root}/*`) : paths).join(" ")}
reverse_proxy @glissade ${bind.kind === "unix" ? `unix/${bind.path}` : tcpOf(bind)}
`,
  site: ({ share, name, homeserver }) => `${name} {
	# Caddy gets certificates by itself; with ones of your own:
	# tls /etc/letsencrypt/live/${name}/fullchain.pem /etc/letsencrypt/live/${name}/privkey.pem

	# This one belongs to the server's own name, wherever that is served.
	handle /.well-known/matrix/client {
		header Content-Type application/json
		header Access-Control-Allow-Origin *
		respond \`${wellKnownText(name)}\`
	}

${indented(CADDY.snippet(share), 1, "\t")}${share.isForwarding ? "" : `\n\t# Everything else is the homeserver's.\n\treverse_proxy ${homeserver}\n`}}
`,
};
