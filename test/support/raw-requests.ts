export const HOST = "Host: matrix.example.org\r\n";
export const CLOSE = "Connection: close\r\n";

/** What follows the headers. */
export const bodyOf = (answer: string): string => answer.slice(answer.indexOf("\r\n\r\n") + 4);
