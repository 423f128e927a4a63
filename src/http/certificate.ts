import { X509Certificate, createPrivateKey } from "node:crypto";
import { readFile } from "node:fs/promises";

/** A certificate chain and its key, as PEM. */
export interface Certificate {
  cert: string;
  key: string;
}

/** Reads both files; throws with what is wrong with them, so that nobody is served with half of a renewed pair. */
export async function readCertificate(paths: { certPath: string; keyPath: string }): Promise<Certificate> {
  const { certPath, keyPath } = paths;
  const [cert, key] = await Promise.all([readFile(certPath, "utf8"), readFile(keyPath, "utf8")]);
  const leaf = parsed(`${certPath} holds no certificate (PEM)`, () => new X509Certificate(cert));
  const own = parsed(`${keyPath} holds no private key (PEM, without a passphrase)`, () => createPrivateKey(key));
  if (!leaf.checkPrivateKey(own)) throw new Error(`${keyPath} is not the key of the certificate in ${certPath}`);
  return { cert, key };
}

function parsed<Value>(complaint: string, parse: () => Value): Value {
  try {
    return parse();
  } catch {
    // The reason would quote the key.
    throw new Error(complaint);
  }
}
