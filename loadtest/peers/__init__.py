"""Other ways to post to many connections, fairly written: clients reused, pools as large as the window.

Each runs as `python -m loadtest.peers.NAME --endpoint URL --posts N --window W` (node for the Node SDK),
posts N times and prints one line of JSON: {"posts", "accepted", "cpu_s", "wall_s"}. Client set-up and a
warm-up of one window are not counted; CPU is the whole process's, threads included.
"""
