// Each version of matrix-js-sdk marks that it was loaded and refuses to be loaded beside another, because an application would
// do so by mistake. Tests of several versions share a process: to be imported before an SDK, so that no mark is seen.
Object.defineProperty(globalThis, "__js_sdk_entrypoint", { get: () => undefined, set: () => {} });
