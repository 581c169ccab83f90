"""The built-in vendors: `type:` in the configuration to where its plugin stands."""

BUILTIN = {
    "withsecure": "collector.sources.withsecure:PLUGIN",
}
