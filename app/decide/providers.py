"""Domains that are no organisation's own: everybody can have an address or a page there. Pure.

Reviewed by hand on 2026-12-01: each name is a mail provider of that day, or one whose addresses are
still in use. SpamAssassin's rules/20_freemail_domains.cf (2016, Apache 2.0) was read beside it; it
has thousands that no customer's web address names. FREE_MAIL_DOMAINS adds to them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from app.decide.owners import and_parents, belongs_to

_EVERYWHERE = frozenset("aol gmx hotmail yahoo".split())
"""Providers with a domain in most countries: hotmail.fr, yahoo.co.uk, yahoo.com.br."""

# By country, in this order: the world; German, French, Dutch, British, Italian, Spanish and
# Portuguese, eastern, northern; Asia; Australia and New Zealand, Africa, America.
_PROVIDERS = frozenset(
    """
    gmail.com googlemail.com outlook.com live.com msn.com windowslive.com passport.com ymail.com
    rocketmail.com myyahoo.com aim.com icloud.com me.com mac.com privaterelay.appleid.com mail.com
    email.com usa.com proton.me protonmail.com protonmail.ch pm.me tuta.com tuta.io tutamail.com
    tutanota.com tutanota.de keemail.me fastmail.com fastmail.fm zoho.com zoho.eu zoho.in
    zohomail.com zohomail.eu hey.com hushmail.com hush.com inbox.com lycos.com excite.com
    rediffmail.com duck.com mailfence.com runbox.com yandex.com yandex.ru mozmail.com
    outlook.at outlook.be outlook.cl outlook.co.id outlook.co.nz outlook.com.ar outlook.com.au
    outlook.com.br outlook.com.tr outlook.cz outlook.de outlook.dk outlook.es outlook.fr outlook.hu
    outlook.ie outlook.in outlook.it outlook.jp outlook.kr outlook.ph outlook.pt outlook.sa
    outlook.sg live.at live.be live.ca live.cn live.co.uk live.co.za live.com.ar live.com.au
    live.com.mx live.com.pt live.com.sg live.de live.dk live.fr live.ie live.in live.it live.jp
    live.nl live.no live.se

    web.de t-online.de freenet.de arcor.de mail.de email.de online.de onlinehome.de alice-dsl.de
    kabelmail.de magenta.de netcologne.de osnanet.de ewetel.net ewe.net unitybox.de unitymedia.de
    vodafone.de vodafonemail.de versanet.de htp-tel.de o2mail.de o2online.de posteo.de posteo.net
    mailbox.org directbox.com epost.de aon.at a1.net chello.at inode.at utanet.at liwest.at kabsi.at
    bluewin.ch bluemail.ch hispeed.ch sunrise.ch swissonline.ch

    orange.fr wanadoo.fr free.fr sfr.fr laposte.net neuf.fr bbox.fr numericable.fr voila.fr
    club-internet.fr aliceadsl.fr cegetel.net dartybox.com noos.fr caramail.com skynet.be telenet.be
    proximus.be scarlet.be voo.be pt.lu internet.lu

    ziggo.nl kpnmail.nl kpnplanet.nl planet.nl hetnet.nl xs4all.nl casema.nl home.nl chello.nl
    upcmail.nl quicknet.nl telfort.nl telfortglasvezel.nl tele2.nl solcon.nl zeelandnet.nl caiway.nl
    onsbrabantnet.nl online.nl

    btinternet.com btopenworld.com talk21.com sky.com virginmedia.com virgin.net ntlworld.com
    blueyonder.co.uk talktalk.net tiscali.co.uk plusnet.com o2.co.uk freeuk.com fsmail.net
    lineone.net eircom.net iol.ie

    libero.it virgilio.it tiscali.it alice.it tim.it tin.it fastwebnet.it inwind.it iol.it poste.it
    email.it blu.it teletu.it vodafone.it pec.it arubapec.it legalmail.it postecert.it

    telefonica.net terra.es movistar.es ono.com wanadoo.es ya.com sapo.pt iol.pt netcabo.pt clix.pt
    telepac.pt

    wp.pl o2.pl onet.pl onet.eu op.pl vp.pl interia.pl interia.eu gazeta.pl tlen.pl poczta.fm
    seznam.cz email.cz post.cz centrum.cz atlas.cz volny.cz azet.sk zoznam.sk centrum.sk post.sk
    pobox.sk freemail.hu citromail.hu indamail.hu t-online.hu upcmail.hu abv.bg mail.bg dir.bg
    t-2.net siol.net net.hr otenet.gr forthnet.gr inbox.lv inbox.lt mail.ee hot.ee mail.ru inbox.ru
    list.ru bk.ru internet.ru ya.ru rambler.ru ukr.net i.ua meta.ua bigmir.net mynet.com ttmail.com

    online.no telia.com tele2.se bredband.net comhem.se spray.se mail.dk jubii.dk stofanet.dk
    tdcadsl.dk kolumbus.fi luukku.com suomi24.fi elisanet.fi saunalahti.fi welho.com simnet.is

    qq.com foxmail.com 163.com 126.com yeah.net sina.com sina.cn sohu.com 139.com 189.cn 21cn.com
    tom.com aliyun.com wo.cn docomo.ne.jp ezweb.ne.jp softbank.ne.jp nifty.com biglobe.ne.jp
    ocn.ne.jp so-net.ne.jp naver.com hanmail.net daum.net nate.com kakao.com hinet.net pchome.com.tw
    netvigator.com singnet.com.sg indiatimes.com walla.co.il walla.com netvision.net.il
    bezeqint.net zahav.net.il maktoob.com emirates.net.ae eim.ae

    bigpond.com bigpond.net.au optusnet.com.au iinet.net.au tpg.com.au internode.on.net dodo.com.au
    westnet.com.au iprimus.com.au adam.com.au ozemail.com.au xtra.co.nz slingshot.co.nz
    orcon.net.nz clear.net.nz paradise.net.nz ihug.co.nz mweb.co.za telkomsa.net webmail.co.za
    vodamail.co.za iafrica.com absamail.co.za lantic.net

    comcast.net xfinity.com att.net sbcglobal.net bellsouth.net pacbell.net swbell.net ameritech.net
    prodigy.net verizon.net cox.net charter.net spectrum.net earthlink.net mindspring.com juno.com
    netzero.net frontier.com frontiernet.net centurylink.net centurytel.net embarqmail.com
    windstream.net optonline.net optimum.net rr.com roadrunner.com twc.com suddenlink.net wowway.com
    mchsi.com ptd.net rcn.com tds.net cableone.net hughes.net rogers.com shaw.ca sympatico.ca
    bell.net telus.net videotron.ca cogeco.ca eastlink.ca nbnet.nb.ca sasktel.net mts.net uol.com.br
    bol.com.br terra.com.br ig.com.br globo.com globomail.com r7.com oi.com.br zipmail.com.br
    prodigy.net.mx arnet.com.ar fibertel.com.ar speedy.com.ar ciudad.com.ar vtr.net adinet.com.uy
    etb.net.co cantv.net

    facebook.com instagram.com linkedin.com twitter.com sites.google.com
    """.split()  # the last ones have pages of organisations, whose web address they often are
)

# What lies below one of these is an organisation's own; they themselves are nobody's.
_SHARED = frozenset(
    """
    onmicrosoft.com onmicrosoft.us partner.onmschina.cn wixsite.com wordpress.com blogspot.com
    business.site weebly.com squarespace.com godaddysites.com jimdosite.com github.io myshopify.com
    demon.co.uk freeserve.co.uk fsnet.co.uk plus.com force9.co.uk

    ac.uk co.uk gov.uk ltd.uk me.uk net.uk nhs.uk org.uk plc.uk sch.uk com.au net.au org.au edu.au
    gov.au asn.au id.au co.nz net.nz org.nz ac.nz govt.nz co.za org.za net.za com.br net.br org.br
    com.mx org.mx com.ar com.co com.pe com.ve com.ec com.uy com.tr com.cn net.cn org.cn co.jp or.jp
    ne.jp ac.jp co.kr or.kr co.in net.in org.in co.il org.il com.sg com.hk com.tw com.my co.id co.th
    com.ph com.vn com.pl net.pl org.pl com.es com.pt co.at or.at ac.at gv.at com.gr com.ua co.hu
    asso.fr gouv.fr
    """.split()
)


def is_provider(domain: str, more: Collection[str] = ()) -> bool:
    """Return whether everybody can be in a domain, so that it makes nobody a colleague.

    more: FREE_MAIL_DOMAINS. A domain below a provider's is one, too; but below onmicrosoft.com, and
    others that are given out to organisations, it is the organisation's own.
    """
    return (
        domain in _SHARED
        or belongs_to(domain, _PROVIDERS)
        or belongs_to(domain, more)
        or any(map(_is_everywhere, and_parents(domain)))
    )


def without_providers(domains: Iterable[str], more: Collection[str]) -> frozenset[str]:
    """Return those of these domains that can be an organisation's own. more: FREE_MAIL_DOMAINS."""
    return frozenset(domain for domain in domains if not is_provider(domain, more))


def _is_everywhere(domain: str) -> bool:
    name, *ending = domain.split(".")
    country = len(ending) == 1 and 2 <= len(ending[0]) <= 3
    below = len(ending) == 2 and ending[0] in ("co", "com") and len(ending[1]) == 2
    return name in _EVERYWHERE and (country or below)
