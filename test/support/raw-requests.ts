export const HOST = "Host: matrix.example.org\r\n";
export const CLOSE = "Connection: close\r\n";

/** What follows the headers. */
export const bodyOf = (answer: string): string => answer.slice(answer.indexOf("\r\n\r\n") + 4);

/** Looks every 5 ms, for 2.5 s. */
export async function until(isSo: () => boolean): Promise<void> {
  for (let left = 500; !isSo(); left--) {
    if (left === 0) throw new Error("waited in vain");
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
