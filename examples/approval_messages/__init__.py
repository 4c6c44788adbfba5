"""Questions to people as messages: in Slack with two buttons, by mail with two links."""
