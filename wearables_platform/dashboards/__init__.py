"""Grafana and Prometheus as code: what is drawn, what is asked for it, and when somebody is told.

The dashboards are described in the modules here and written as JSON beside them (`make dashboards`): Grafana reads the
JSON, people read and review the description. Nothing here runs in a process of the platform.
"""
