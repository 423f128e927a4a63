import { COMMANDS } from "#src/cli/commands.ts";
import { ALL_VARIABLES } from "#src/config/variables.ts";

/** Characters that mean something to roff, and lines that would be taken for requests. */
const escaped = (text: string): string =>
  text
    .replaceAll("\\", "\\e")
    .replaceAll("-", "\\-")
    .replace(/^(?=[.'])/gm, "\\&");

/** Code of Markdown is bold, links are their text. */
const formatted = (markdown: string): string =>
  escaped(markdown.replaceAll(/\[([^\]]+)\]\([^)]+\)/g, "$1")).replaceAll(/`([^`]+)`/g, "\\fB$1\\fR");

/** glissade(1), made of the same tables as `--help`. */
export function manPage(version: string, date: string): string {
  const commands = COMMANDS.map(
    ({ usage, help }) =>
      usage.map((form, at) => `${at === 0 ? ".TP" : ".TQ"}\n.B ${escaped(form)}\n`).join("") +
      `${escaped(help.join(" "))}\n`,
  );
  const variables = ALL_VARIABLES.map(({ name, fallback, meaning, hasFileForm }) => {
    const file = hasFileForm === true ? `, ${name}_FILE` : "";
    return `.TP\n.BR ${name}${file}\n${formatted(meaning)}\n.br\nDefault: ${formatted(fallback)}.\n`;
  });
  return `.TH GLISSADE 1 "${date}" "glissade ${version}" "User Commands"
.SH NAME
glissade \\- sliding sync for any Matrix homeserver
.SH SYNOPSIS
.B glissade
.RI [ command ]
.SH DESCRIPTION
Glissade reads the classic /sync of a Matrix homeserver and serves sliding sync to its users: room lists that are sorted,
windowed, and there at once however many rooms an account has.
.SH COMMANDS
${commands.join("")}.SH ENVIRONMENT
${variables.join("")}.SH FILES
.TP
.B /etc/glissade/glissade.env
The environment of the service.
.TP
.B /var/lib/glissade
The embedded database of the service and the secret made for it.
.SH EXIT STATUS
0 done; 1 failed, not healthy, or done in part; 2 the command line or the configuration cannot be used.
.SH SEE ALSO
.BR systemd.service (5),
.B /usr/share/doc/glissade
`;
}
