module example.org/broker

go 1.19
