"""What documents speak of: the words by which a category, a kind of document or a way to pay is recognised.

A member of a schema's enum that is named in a row's first tuple is recognised by the words of its second.
"""

from __future__ import annotations

from typing import Final

from agentkit.runtime.models.offline.words import fold, listed

__all__ = ["MARKETING", "NEUTRAL_MEMBERS", "SPENDING", "TOPICS", "Topic", "topic_of"]

Topic = tuple[tuple[str, ...], tuple[str, ...]]


TOPICS: Final[tuple[Topic, ...]] = (
    (
        listed("lodging, hotel, hotels, accommodation, accommodations, stay, housing, unterkunft, hebergement"),
        listed(
            """
            hotel, hostel, inn, flat, apartment, hosted by, cleaning fee, ferienwohnung, appartement, apartamento,
            hostal, motel, resort, lodge, lodging, airbnb, accommodation, room, rooms, night, nights, folio, guest,
            check-in, check-out, check in, check out, stay, city tax, ubernachtung, ubernachtungen, zimmer,
            einzelzimmer, doppelzimmer, pension, gasthof, gasthaus, nuit, nuits, nuitee, chambre, sejour, taxe de
            sejour, alojamiento, habitacion, noche, noches, camera, notte, notti, albergo, soggiorno, kamer,
            overnachting, kurtaxe, beherbergung, anreise, abreise, booking.com, marriott, hilton, ibis, novotel
            """
        ),
    ),
    (
        listed(
            """
            taxi, rideshare, ride, transport, transportation, ground transport, local transport, ground transportation
            """
        ),
        listed(
            """
            taxi, cab, ride, rides, driver, trip, pickup, dropoff, drop-off, uber, lyft, bolt, freenow, fahrer, fahrt,
            course, chauffeur, carrera, corsa, rit, metro, subway, bus, tram, parking, limousine, toll
            """
        ),
    ),
    (
        listed("parking, toll, car, mileage, fuel, vehicle, gas, car rental"),
        listed(
            """
            parking, parkhaus, parkschein, parkplatz, garage, toll, peage, maut, fuel, petrol, gasoline, diesel,
            tankstelle, unleaded, super e10, liter, litre, litres, gallons, pump, station service, gasolina, benzina,
            car rental, rental car, mietwagen, aral, shell, esso, location de voiture, car wash, einfahrt, ausfahrt
            """
        ),
    ),
    (
        listed(
            """
            travel, flight, flights, airfare, air, train, rail, trip, trips, transit, transport, transportation, reise,
            reisen, voyage, viajes
            """
        ),
        listed(
            """
            flight, flights, airline, airlines, airways, lufthansa, boarding, boarding pass, passenger, passagier,
            fluggast, gate, seat, ticket, tickets, e-ticket, itinerary, departure, arrival, airport, train, rail,
            railway, bahn, bahncard, db, ice, sncf, tgv, eurostar, fahrkarte, fahrschein, sitzplatz, zug, flug, billet,
            gare, voyage, voyageur, vol, passager, vuelo, tren, billete, aeropuerto, volo, treno, biglietto, viaggio,
            trenitalia, vlucht, trein, parkhaus, parkschein, garage, maut, peage, tankstelle, fuel, petrol, diesel,
            rental car, reis, baggage, luggage, fare, pnr, taxi, cab, ride, driver, uber, lyft, trip, pickup, dropoff,
            fahrt, fahrer, metro, subway, bus, tram, parking, toll, car rental, mietwagen, mileage, one-way, return
            ticket, round trip, carriage, coach, journey, depart, traveller, traveler, class, economy, ferry, bolt,
            freenow, course, hbf, bahnhof, station, reservation
            """
        ),
    ),
    (
        listed(
            """
            meals, meal, food, dining, restaurant, food and drink, meals and entertainment, catering, verpflegung,
            repas, comidas, groceries, food & drink, drinks
            """
        ),
        listed(
            """
            restaurant, cafe, caffe, coffee, bistro, bistrot, brasserie, trattoria, pizzeria, ristorante, osteria, bar,
            diner, grill, kitchen, bakery, boulangerie, backerei, gasthaus, wirtshaus, lunch, dinner, breakfast, brunch,
            meal, meals, menu, table, server, waiter, cover, covers, guests, tip, gratuity, food, drink, drinks,
            beverage, burger, pizza, pasta, salad, sandwich, soup, espresso, cappuccino, latte, croissant, tea, beer,
            wine, water, juice, tisch, kellner, bedienung, speisen, getranke, bier, wein, wasser, kaffee, schnitzel,
            suppe, salat, mittagessen, abendessen, trinkgeld, bewirtung, bewirtungsbeleg, couverts, entree, plat,
            dessert, vin, eau, cafe, repas, dejeuner, diner, pourboire, serveur, mesa, camarero, comida, cena, almuerzo,
            agua, cerveza, vino, postre, propina, tavolo, coperto, coperti, primo, acqua, caffe, pranzo, tafel, eten,
            koffie, fooi, catering, cheesecake, fries, chicken, steak, ramen, sushi, menu del dia, tapas
            """
        ),
    ),
    (
        listed(
            """
            software, subscription, subscriptions, saas, it, cloud, hosting, software and subscriptions, apps, services,
            digital, licenses
            """
        ),
        listed(
            """
            software, subscription, saas, license, licence, licenses, lizenz, seat, seats, plan, pro plan, monthly,
            annual plan, billing period, cloud, hosting, server, api, domain, github, gitlab, slack, zoom, notion,
            figma, jetbrains, adobe, microsoft 365, google workspace, aws, azure, openai, dropbox, atlassian,
            abonnement, abo, suscripcion, abbonamento, per user, users, user, workspace, renewal, renews, storage,
            compute, web services, app, editor, logiciel, webhosting
            """
        ),
    ),
    (
        listed(
            """
            office, office supplies, supplies, office_supplies, stationery, buromaterial, buro, material, fournitures
            """
        ),
        listed(
            """
            office, paper, printer, toner, ink, pen, pens, pencil, notebook, notebooks, stapler, staples, folder,
            folders, binder, envelope, envelopes, desk, chair, stationery, whiteboard, marker, markers, post-it, labels,
            cartridge, shredder, lamp, burobedarf, buromaterial, papier, kopierpapier, drucker, druckerpapier, stift,
            stifte, kugelschreiber, ordner, umschlage, briefumschlage, hefter, schreibtisch, burostuhl, papeterie,
            fournitures, stylos, stylo, cahier, classeur, ramette, imprimante, encre, papeleria, oficina, boligrafos,
            papel, carpeta, cuaderno, cancelleria, carta, penna, penne, ufficio, stampante, kantoor, papier, pennen,
            inkt, a4, locher, ufficio, cancelleria, quaderni, tinta, impresora, haftnotizen, bleistift
            """
        ),
    ),
    (
        listed("equipment, hardware, electronics, computer, it equipment, it_equipment, devices"),
        listed(
            """
            laptop, macbook, monitor, keyboard, mouse, headset, headphones, cable, adapter, usb, usb-c, hdmi, charger,
            dock, docking station, webcam, ssd, hard drive, router, tablet, ipad, phone, iphone, computer, notebook
            computer, pc, electronics, bildschirm, tastatur, maus, kabel, netzteil, ecran, clavier, souris, ordinateur,
            portatil, teclado, raton, hardware, speaker, microphone, serial number, warranty, thinkpad
            """
        ),
    ),
    (
        listed("telecom, telecommunications, phone, internet, communication, communications, mobile"),
        listed(
            """
            mobile, phone bill, internet, broadband, telecom, telekom, vodafone, orange, roaming, sim, data plan,
            minutes, sms, mobilfunk, rufnummer, tarif, forfait, fibre, dsl, landline, telefonica
            """
        ),
    ),
    (
        listed(
            """
            training, education, conference, conferences, learning, courses, events, event, books, weiterbildung
            """
        ),
        listed(
            """
            course, training, workshop, seminar, conference, webinar, tuition, certification, exam, lecture, schulung,
            kurs, konferenz, tagung, formation, colloque, curso, congreso, corso, congresso, attendee, registration,
            summit, book, isbn, teilnahme, teilnehmer, early bird, inscription
            """
        ),
    ),
    (
        listed("entertainment, client entertainment, leisure"),
        listed(
            """
            concert, theatre, theater, cinema, movie, museum, show, event ticket, opera, stadium, kino, konzert,
            entertainment, karaoke, golf
            """
        ),
    ),
    (
        listed("marketing, advertising, ads"),
        listed(
            """
            advertising, ads, ad spend, campaign, impressions, clicks, marketing, google ads, linkedin ads, sponsored,
            werbung, publicite, publicidad, flyer, banner, brochure
            """
        ),
    ),
    (
        listed("shipping, postage, courier, delivery, post"),
        listed(
            """
            parcel, package, courier, postage, dhl, ups, fedex, tracking, shipment, paket, porto, briefmarke, colis, la
            poste, timbre, correos, envio, pacco, pakket, postnl, express
            """
        ),
    ),
    (
        listed("medical, health, pharmacy"),
        listed(
            """
            pharmacy, apotheke, pharmacie, farmacia, doctor, clinic, medical, prescription, arzt, medicine, apotheek
            """
        ),
    ),
    (
        listed("professional services, consulting, contractor, legal, services, freelance"),
        listed(
            """
            consulting, consultancy, hours, hourly, professional services, legal, attorney, advisory, beratung,
            stundensatz, stunden, honorar, prestation, conseil, honoraires, consultoria, consulenza, advies,
            development, design
            """
        ),
    ),
    (
        listed("utilities, rent, energy"),
        listed(
            """
            electricity, gas, water bill, kwh, energy, heating, strom, heizung, miete, rent, electricite, loyer,
            electricidad, alquiler, energia, affitto, huur
            """
        ),
    ),
    (
        listed("insurance"),
        listed("insurance, policy, premium, versicherung, assurance, seguro, assicurazione, verzekering"),
    ),
    # kinds of document
    (
        listed("invoice"),
        listed(
            """
            invoice, rechnung, rechnungsnummer, facture, factura, fattura, factuur, bill to, due date, tax invoice,
            payment terms
            """
        ),
    ),
    (
        listed("receipt"),
        listed(
            """
            receipt, quittung, kassenbon, beleg, bon, recu, ticket de caisse, recibo, ticket, scontrino, ricevuta,
            kassabon, cash, change, card, visa, folio, thank you for your purchase, kassenbeleg
            """
        ),
    ),
    (
        listed("boarding_pass, boarding pass, boarding"),
        listed("boarding pass, boarding, gate, seat, boarding time, bordkarte, carte d'embarquement"),
    ),
    (
        listed("newsletter, marketing email, promotion, spam, advertisement"),
        listed(
            """
            newsletter, unsubscribe, subscribe, read more, view in browser, % off, sale, deals, abmelden, se desabonner,
            darse de baja
            """
        ),
    ),
    (
        listed("email, message, letter"),
        listed("subject, from, to, dear, hi, hello, regards, best, cheers, betreff, hallo, bonjour, hola, ciao"),
    ),
    (
        listed("contract, agreement"),
        listed("contract, agreement, parties, hereby, whereas, vertrag, contrat, contrato, contratto"),
    ),
    (
        listed("quote, quotation, estimate, offer"),
        listed(
            """
            quote, quotation, estimate, offer, angebot, kostenvoranschlag, devis, presupuesto, preventivo, offerte,
            valid until
            """
        ),
    ),
    # ways to pay
    (
        listed("card, credit_card, credit card, debit_card, creditcard, credit"),
        listed(
            """
            card, credit card, debit card, visa, mastercard, amex, american express, maestro, girocard, ec-karte, ec
            karte, kreditkarte, kartenzahlung, carte bancaire, carte bleue, cb, tarjeta, carta di credito, bancomat,
            pin, contactless, karte, bankomat
            """
        ),
    ),
    (
        listed("cash"),
        listed(
            """
            cash, bar, bargeld, barzahlung, bar gegeben, especes, efectivo, contanti, contant, change, wechselgeld,
            ruckgeld
            """
        ),
    ),
    (
        listed("bank_transfer, transfer, wire, bank transfer, invoice payment"),
        listed(
            """
            bank transfer, wire transfer, iban, bic, swift, uberweisung, virement, transferencia, bonifico,
            overschrijving, sepa
            """
        ),
    ),
    (listed("paypal"), listed("paypal")),
    # how a text is meant
    (
        listed("positive, happy, satisfied"),
        listed(
            """
            great, excellent, love, thank, thanks, perfect, happy, wonderful, amazing, good, awesome, pleased, super,
            toll
            """
        ),
    ),
    (
        listed("negative, unhappy, angry, dissatisfied, complaint"),
        listed(
            """
            bad, terrible, awful, disappointed, unhappy, angry, broken, refund, worst, complaint, poor, unacceptable,
            late, never, not working, damaged
            """
        ),
    ),
    (
        listed("urgent, high, critical, asap"),
        listed(
            """
            urgent, asap, immediately, critical, emergency, as soon as possible, dringend, sofort, right away, outage,
            down
            """
        ),
    ),
    (listed("low"), listed("no rush, whenever, low priority, not urgent, someday")),
    # languages
    (listed("en, english, eng"), listed("the, and, of, to, for, with, your, you, thank, is")),
    (listed("de, german, deu, deutsch"), listed("der, die, das, und, fur, mit, ihre, sie, vielen, dank, nicht, ist")),
    (listed("fr, french, fra, francais"), listed("le, la, les, des, et, pour, votre, vous, merci, est, du")),
    (listed("es, spanish, spa, espanol"), listed("el, los, las, y, para, su, gracias, usted, del, por")),
    (listed("it, italian, ita, italiano"), listed("il, gli, e, per, grazie, del, della, di, vostro")),
    (listed("nl, dutch, nld, nederlands"), listed("het, een, en, voor, uw, bedankt, van, met, niet")),
)

NEUTRAL_MEMBERS: Final = listed(
    """
    other, others, misc, miscellaneous, unknown, none, general, uncategorized, n/a, na, neutral, normal, medium,
    sonstiges, autre
    """
)

SPENDING: Final = listed(
    """
    invoice, receipt, bill to, paid, payment, total, amount due, order confirmation, booking, ticket, fare, folio,
    rechnung, quittung, beleg, kassenbon, bezahlt, gesamtbetrag, summe, facture, recu, paye, payer, reglement, montant,
    factura, recibo, pagado, importe, fattura, ricevuta, scontrino, pagato, totale, factuur, bon, betaald, totaal,
    charged, purchase, bought, spent, expense, reimburse, reimbursement, cost me, cash, visa, mastercard, bar, vat,
    mwst, tva, iva, btw, ttc
    """
)
MARKETING: Final = listed(
    """
    unsubscribe, newsletter, view in browser, % off, sale, deals, special offer, limited time, promo code, use code,
    subscribe, read more, click here, shop now, this week, register now, save up to, free shipping, abmelden,
    abbestellen, jetzt sichern, angebote, rabattcode, se desabonner, offre speciale, codigo, oferta, darse de baja,
    disiscriviti, offerta, uitschrijven, aanbieding, join us, learn more, sign up, coming soon, im browser, starting at,
    from only
    """
)


def topic_of(member: str) -> list[Topic]:
    """The rows that an enum member names: by the whole member, else by each of its words."""
    plain = fold(member).replace("_", " ").replace("-", " ").strip()
    whole = [topic for topic in TOPICS if plain in topic[0] or plain.replace(" ", "_") in topic[0]]
    if whole:
        return whole
    return [topic for word in plain.replace("&", " ").replace("/", " ").split() for topic in TOPICS if word in topic[0]]
