"""The web console: its pages (the static files here), who is signed in to it, and how both are served."""
