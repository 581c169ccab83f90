"""The built-in sinks: `type:` in the configuration to where its plugin stands."""

BUILTIN = {
    "file": "collector.sinks.file:PLUGIN",
    "syslog": "collector.sinks.syslog:PLUGIN",
}
