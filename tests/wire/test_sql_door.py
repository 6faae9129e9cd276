"""x"""
from gnomon_server.query.sql.door import SqlDoor
from gnomon_server.query.sql import answer as A
from gnomon_server.store.interface import QueryLimits
from gnomon_server.errors import GnomonError
import time
class T:
    def known(self,n): return {'a':1,'b':2}.get(n)
async def test_x(store):
    "x"
    d=SqlDoor(store,T())
    async def go(q,p={},fmt='json'):
        try: print('OK ', q, '=>', A.FORMATS[fmt][1](await d.answer(q,p,'a',QueryLimits()))[:700])
        except GnomonError as e: print('ERR', q[:100], '=>', e)
    await go("select now() a, today() b, toStartOfHour(now64(9)) c, now64(9) d, toDate32('2020-01-01') e, interval 1 day f, [now()] g, map('a', now()) h, toUUID('61f0c404-5cb3-11e7-907b-a6006ad3dba0') i, toIPv4('1.2.3.4') j, toIPv6('::1') k, toDecimal64(1.5,3) l, toFixedString('a',2) m, (1,'a') n, null p, toLowCardinality('x') q, map(toLowCardinality('k'),1) r, toFloat32(1.5) s, unhex('ff00') t, 1=1 u, toDateTime64('2020-01-01 00:00:00',3,'Europe/Berlin') v, array() w, true x, tuple(1 as z1, 'a' as z2) y, nan aa, -inf bb, arrayJoin([1,null,3]) cc, {q:String} dd, {l:Array(String)} ee, 18446744073709551615 ff, [nan] gg, cast(5 as UInt128) hh", dict(q="it's \n", l=["a'b"]))
    await go("select 1 a, 'x,\"y' b, [1,2] c, now() d, 1.5 e", fmt='csv')
    for q in ["select fil('x')","select\n 1,\n\tfile('/etc/passwd') from spans","select * from `/etc/passwd`","select 1 settings max_threads=1","select 1 format JSON","select 1 into outfile 'x'","select 1; select 2","select 1 +","select * from span","select {a:Identifier}","select {a:UInt8}","select cast(1 as AggregateFunction(sum,UInt8))","show tables","select 1 in system.one","with recursive x as (select 1) select * from x", "select nope from spans", "select * apply(file) from spans","select * apply(x->hostName()) from spans", "("*250+"select 1"+")"*250, "select "+"["*400+"]"*400, "", "  -- x", "select é", "insert into x select 1", "select count() from spans final", "select lambda(tuple(x), x)", "select sumIfOrNull(1,1), sumState(1)","select * from numbers(100000000000)", "select * from numbers((select 1))", "select count() from numbers(10000000) a, numbers(10000000) b, numbers(10000000) c", "describe spans", "explain select 1","select count() from (select * from metrics)", "select toUInt8('x')"]: await go(q)
    t=time.time(); r=await d.answer("select number, toString(number) s, number/3 f, now64(9) t, map('a',toString(number)) m from numbers(1000000)",{}, 'a', QueryLimits()); t1=time.time(); j=A.to_json(r); t2=time.time(); c=A.to_csv(r); t3=time.time(); a=A.to_arrow(r); t4=time.time()
    print(t1-t, t2-t1, t3-t2, t4-t3, len(j))
    assert 0
