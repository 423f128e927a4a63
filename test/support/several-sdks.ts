// Each version of matrix-js-sdk refuses to be loaded beside another, because an application would do so by mistake. Tests of
// several versions share a process: to be imported before an SDK.
Reflect.deleteProperty(globalThis, "__js_sdk_entrypoint");
