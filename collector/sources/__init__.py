"""The built-in vendors: `type:` in the configuration to where its plugin stands."""

BUILTIN = {
    "eset": "collector.sources.eset:PLUGIN",
    "withsecure": "collector.sources.withsecure:PLUGIN",
}
