-- The same request as that of the peers, in size and body, but with a constant signature.
wrk.method = "POST"
wrk.body = '{"type":"messages","groupId":"group1","messages":[{"messageId":"0192f0c1-2345-7abc-8def-0123456789ab","seq":1,"sender":"ann","message":"'
  .. string.rep("x", 200)
  .. '","createdAt":"2026-11-22T17:20:00.123Z"}]}'
wrk.headers["Content-Type"] = "application/json"
wrk.headers["X-Amz-Date"] = "20261122T172000Z"
wrk.headers["Authorization"] = "AWS4-HMAC-SHA256 Credential=bench/20261122/us-east-1/execute-api/aws4_request, SignedHeaders=host;x-amz-date, Signature="
  .. string.rep("0", 64)
