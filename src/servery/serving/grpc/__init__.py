"""gRPC as the gateway speaks it. Imported only where a port is open for it: the library takes a tenth of a second."""
