/** How long an own event waits for its transaction id: the poller that is to bring it is behind by a round trip, not more. */
export const TXN_WAIT_MS = 1000;
