"""The built-in sinks: `type:` in the configuration to where its plugin stands."""

BUILTIN = {
    "file": "collector.sinks.file:PLUGIN",
    "splunk_hec": "collector.sinks.splunk_hec:PLUGIN",
    "syslog": "collector.sinks.syslog:PLUGIN",
}
