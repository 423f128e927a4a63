/** 53 bits of a fast, non-cryptographic hash (cyrb53), with the length: tells repeated data from new data. */
export function hashBytes(bytes: Uint8Array): string {
  let high = 0xde_ad_be_ef;
  let low = 0x41_c6_ce_57;
  for (const byte of bytes) {
    high = Math.imul(high ^ byte, 2_654_435_761);
    low = Math.imul(low ^ byte, 1_597_334_677);
  }
  high = Math.imul(high ^ (high >>> 16), 2_246_822_507) ^ Math.imul(low ^ (low >>> 13), 3_266_489_909);
  low = Math.imul(low ^ (low >>> 16), 2_246_822_507) ^ Math.imul(high ^ (high >>> 13), 3_266_489_909);
  return `${bytes.length}:${(high >>> 0).toString(36)}${(low >>> 0).toString(36)}`;
}

/** True when both are absent, or hold the same bytes. */
export function sameBytes(a: Uint8Array | null, b: Uint8Array | null): boolean {
  if (a === null || b === null) return a === b;
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}
