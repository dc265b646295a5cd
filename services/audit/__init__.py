"""The auditor's tool: checks a registry by its log alone, without its database and without trusting who runs it.

It asks the registry for what anybody, or a holder of `log:read`, may ask for, and believes nothing that it has not
computed itself: `docs/audit.md`.
"""
