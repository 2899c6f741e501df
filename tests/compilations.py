"""Counts what XLA compiles."""

from __future__ import annotations

import jax


class counted:
    """`with counted() as compilations:` is a list with an entry for each program compiled."""

    def __enter__(self) -> list[str]:
        self.names: list[str] = []
        jax.monitoring.register_event_duration_secs_listener(self._listen)
        return self.names

    def _listen(self, event, duration, **details):
        if event.endswith("backend_compile_duration"):
            self.names.append(event)

    def __exit__(self, *exception):
        from jax._src import monitoring

        monitoring.unregister_event_duration_listener(self._listen)
