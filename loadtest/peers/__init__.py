"""Other ways to post to many connections, at their best: with reused clients and pools of the window's size.

Each runs as `python -m loadtest.peers.NAME --endpoint URL --posts N --window W` (node for the Node SDK),
posts N times and prints one line of JSON: {"posts", "accepted", "cpu_s", "wall_s"}. Client set-up and a
warm-up of one window do not count; CPU is that of the whole process, threads included.
"""
